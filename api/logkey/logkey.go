// Package logkey has the names of the values that the four controllers log, so that one query finds a commit, an object or a
// reason in all of them.
//
// A line at info is an outcome: one per artifact, rendering, apply, correction, prune, failure, recovery and delivery, and none for a
// pass that finds nothing. Its message is a sentence that stands alone, since `flux logs` prints nothing else; the values repeat
// what is in it for machines. A line at debug is a decision and the rule that made it. A line at error asks whoever operates the
// process to do something: what is wrong with an object is in its conditions, and is logged at info. No value is secret, nor made of
// a secret.
package logkey

import "github.com/go-logr/logr"

// Values of an outcome. Times are durations such as "1.2s".
const (
	// Revision of a source, or version of a chart.
	Revision = "revision"
	// Reason is that of the object's condition, or of the event.
	Reason = "reason"
	// Duration of what ended, rounded to milliseconds.
	Duration = "duration"
	// Attempt counts tries at the same thing, from 1.
	Attempt = "attempt"
	// Digest of an artifact, Bytes its size.
	Digest = "digest"
	Bytes  = "bytes"
	// Source is what something is made of, as kind/namespace/name.
	Source = "source"
	// Objects, and what became of how many.
	Objects    = "objects"
	Created    = "created"
	Configured = "configured"
	Deleted    = "deleted"
	Unchanged  = "unchanged"
	// Resource is an applied object, as Kind/namespace/name; Manager is who changed it, a field manager.
	Resource = "resource"
	Manager  = "manager"
	// Provider, Alert and Event of a delivery; Delivery is its id. The first two are namespace/name.
	Provider = "provider"
	Alert    = "alert"
	Event    = "event"
	Delivery = "delivery"
	// Subject is what an event is about, as Kind/namespace/name.
	Subject = "subject"
	// Problem is what is wrong, in words, where the message only says that something is.
	Problem = "problem"
	// After is when something is tried again.
	After = "after"
)

// Values of a decision.
const (
	// Step is what is done next, Rule why.
	Step = "step"
	Rule = "rule"
)

// Debug is the verbosity of a decision, as in log.V(logkey.Debug).
const Debug = 1

// Of is a logger for lines about an object outside of its reconciliation. Within one the logger in the context has the same values
// already; they are those that `flux logs` selects by.
func Of(log logr.Logger, kind, namespace, name string) logr.Logger {
	return log.WithValues("controllerKind", kind, "namespace", namespace, "name", name)
}
