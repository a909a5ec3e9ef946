// Package attempt remembers how far the work at one goal is, from the decision to begin to its end.
//
// [Progress] is what a restart must not lose; its owner saves it. [Attempt] adds what a new process finds out again by
// itself. Their methods change memory only: they say when something is worth saving, and somebody else saves it.
package attempt
