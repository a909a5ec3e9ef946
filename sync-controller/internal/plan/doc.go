// Package plan decides what happens next to one Kustomization or HelmRelease.
//
// Everything that was observed is in a [State], times as durations up to that moment; [Decide] says what to do about it,
// as an [Action]. Nothing here reads a clock, a client or a context, so every rule is a row in a table test. The
// controller carries the action out, notes how far the attempt is, and asks again, until the answer is to wait.
//
// The life of an attempt:
//
//	Started ── apply ──▶ Applied ── prune ──▶ Pruned ── health ──▶ Ended
//
// A new goal (content, generation or token) starts a new attempt at any stage: nobody waits for an old one.
package plan
