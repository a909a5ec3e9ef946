// Package deliver is the durable path from an event to the services that people watch:
//
//	SLUICE_EVENTS ─ router ─▶ SLUICE_DELIVERIES ─ Queues ─▶ Sender ─▶ provider
//	                  │                                       │
//	                  └───────────▶ SLUICE_DEAD_LETTERS ◀─────┘
//
// The [Router] turns each event into one [Record] per Alert that selects it. [Queues] gives every Provider a durable
// consumer of its own, so that a slow one delays nobody else. The [Sender] claims a record in the ledger, sends it, and
// notes the outcome. What cannot be delivered becomes a dead letter with an Event on the Alert; nothing is dropped
// silently.
package deliver
