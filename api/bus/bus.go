// Package bus is a durable message log with exactly what Sluice needs of one: publish with a durable acknowledgement,
// durable consumers whose handler returns a verdict, and a small compare-and-swap store.
//
// This room is the contract: the interface, its types and the rules that every implementation keeps. It knows no broker. Read
// it in this order:
//
//   - [Bus]: what there is to do with one, on [Stream], [Consumer] and [Store]; [Events] is the stream of all controllers
//   - [Handler] and [Verdict]: what a consumer does with a [Delivery]
//   - [CheckMessage] and its siblings: what is refused before a broker sees it
//
// The rooms beside it:
//
//   - jetstream: the bus over NATS JetStream; it alone imports nats.go
//   - memory: the bus of tests, and of a process that runs alone
//   - outbox: how a controller publishes without waiting, and what it does while the broker is away
//   - bustest: the contract as a suite, which jetstream and memory pass
//
// Which errors of publishing are tried again and which are final is api/decisions/0012-bus-rules.md.
//
// The bus is a delivery queue, never the record of truth: losing it delays notifications and changes no reconcile.
package bus

import (
	"context"
	"errors"
	"time"
)

// Sentinels a caller branches on.
var (
	// ErrExists: the key is there already, or has moved on from the revision given.
	ErrExists = errors.New("key exists or has changed")
	// ErrNotFound: the key is not there.
	ErrNotFound = errors.New("key not found")
	// ErrUnavailable: the broker cannot be reached or does not take messages now; what was sent may be sent again.
	ErrUnavailable = errors.New("message bus unavailable")
)

// Message is one message in a stream.
type Message struct {
	// Subject the message is published on; it decides the stream.
	Subject string
	// ID makes publishing idempotent inside the stream's window (see Stream.Window); empty for no such check.
	ID string
	// Header travels with the message: at most 8 KiB in all, the ID included. A key has no colon or space, a value no line
	// break; keys that begin with "Nats-" do not arrive.
	Header map[string]string
	// Data is at most 64 KiB. A server may allow less for data and headers together (NATS' max_payload).
	Data []byte
}

// Delivery is a message as a consumer sees it. It is the handler's to keep and to change.
type Delivery struct {
	Message
	// Attempt counts from 1. It grows with each redelivery.
	Attempt int
	// Stored is when the message was first stored, by the broker's clock.
	Stored time.Time
}

// Verdict is what a handler says about a delivery. The zero value is Done.
type Verdict struct {
	// RetryAfter is set when the message is to come again, this long from now. A broker that is away hears of it when it is
	// back; one that is away for longer than ten seconds may deliver the message again at once.
	RetryAfter time.Duration
	// Drop is set when the message must never come again although it was not handled, with why.
	Drop string
}

// Done says the message was handled.
func Done() Verdict { return Verdict{} }

// Retry asks for the message again after a while; a duration below a millisecond counts as one.
func Retry(after time.Duration) Verdict { return Verdict{RetryAfter: max(after, time.Millisecond)} }

// Drop says the message must not come again, and why.
func Drop(why string) Verdict { return Verdict{Drop: why} }

// Handler handles one delivery. It is called concurrently up to Consumer.Parallel times. While it runs the delivery is
// kept alive; its context ends when the consumer does. A handler that panics counts as Retry(30s).
type Handler func(ctx context.Context, d Delivery) Verdict

// afterPanic is when a delivery comes again whose handler panicked.
const afterPanic = 30 * time.Second

// Call runs the handler for a bus; one that panics counts as a retry. What it panicked with is not shown: it may hold
// anything.
func (h Handler) Call(ctx context.Context, d Delivery) (verdict Verdict) {
	defer func() {
		if recover() != nil {
			verdict = Retry(afterPanic)
		}
	}()
	return h(ctx, d)
}

// Stream says how messages are kept. Streams are created or updated when first used.
type Stream struct {
	// Name, in upper case with underscores.
	Name string
	// Subjects, with NATS wildcards.
	Subjects []string
	// MaxAge after which a message is gone, handled or not; 0 for never.
	MaxAge time.Duration
	// MaxBytes of messages, after which publishing fails: nothing unread is ever evicted. 0 for no limit.
	MaxBytes int64
	// Window in which a repeated Message.ID is stored once; 0 for two minutes, and never longer than MaxAge.
	Window time.Duration
	// WorkQueue removes a message once it was handled.
	WorkQueue bool
}

// Consumer is a durable position in a stream.
type Consumer struct {
	Stream Stream
	// Name of the durable consumer, unique in the stream: letters, digits, '-' and '_'.
	Name string
	// Filter narrows to a subject, with wildcards; empty takes the whole stream.
	Filter string
	// Parallel is how many deliveries are handled at a time; below 1 counts as 1.
	Parallel int
}

// Entry is a value in a store. It is the caller's to keep and to change.
type Entry struct {
	Value []byte
	// Revision grows with each change of any key in the store; it is never 0.
	Revision uint64
}

// Store is a small durable map with compare-and-swap. Keys are letters, digits, '-', '_' and single dots inside, at most
// 128 bytes; values at most 512 KiB. Other errors than those named wrap ErrUnavailable when trying again makes sense. All
// methods are safe for concurrent use.
type Store interface {
	// Get returns ErrNotFound for an absent key.
	Get(ctx context.Context, key string) (Entry, error)
	// Put writes the key if it is still at the given revision (0: absent), and returns the new one; ErrExists otherwise.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes the key; an absent key is no error.
	Delete(ctx context.Context, key string) error
}

// Bus is what notify-controller needs. All methods are safe for concurrent use. A request to the broker ends with its
// context, or after two seconds when that has no deadline.
type Bus interface {
	// Publish stores the message durably before it returns nil. Any other outcome is an error that wraps ErrUnavailable
	// when trying again makes sense: the message may have been stored all the same. One that does not wrap it says that
	// this message will never be taken.
	Publish(ctx context.Context, stream Stream, m Message) error
	// Consume calls handle for every message of the consumer's until ctx ends, across reconnects; it returns ctx's error
	// then, or earlier an error that no waiting mends. Stopping and starting again goes on where it was.
	Consume(ctx context.Context, c Consumer, handle Handler) error
	// Forget removes a durable consumer; an absent one is no error.
	Forget(ctx context.Context, c Consumer) error
	// Held is how many messages a stream holds, by subject: of a work queue what was not handled yet. It creates nothing; a
	// stream that is not there holds none.
	Held(ctx context.Context, stream Stream) (map[string]uint64, error)
	// Store opens, and creates if needed, a store whose entries live for ttl (0: for ever).
	Store(ctx context.Context, name string, ttl time.Duration) (Store, error)
	// Connected reports whether the broker can be reached now.
	Connected() bool
	// Reconnects has a value each time the connection came back, or publishing shows that a stream has begun anew: what
	// was published may be lost. It holds one value at most, for one reader; reading it is optional. Nil never has any.
	Reconnects() <-chan struct{}
	// Close ends the connection, and with it every Consume. Nothing is published or acknowledged after it.
	Close()
}
