// Package content opens what render-controller rendered for a subject: the content that an attempt is to apply, and the one
// that was applied last, from which the cluster is healed.
//
// Contents are fetched once, kept sealed on the volume, and are in the clear only in memory.
package content
