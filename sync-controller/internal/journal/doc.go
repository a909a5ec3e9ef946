// Package journal writes the log of sync-controller: a line at info for each outcome, a line at debug for each decision, and
// nothing for a reconciliation that finds nothing. Nothing else in sync-controller logs what became of a subject. The keys, and
// what a line at each level means, are in package logkey.
package journal
