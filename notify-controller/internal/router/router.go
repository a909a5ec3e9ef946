// Package router turns each event into one delivery per Alert that selects it. What may be selected is package route's.
package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/notify-controller/internal/consume"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deadletter"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ledger"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

const (
	// parallel is how many events are routed at a time.
	parallel = 8
	// routeTimeout bounds one attempt to route an event, whatever the API server and the broker do.
	routeTimeout = 30 * time.Second
	// providerGrace is how long an Alert may name a Provider that is not there yet: both may come with one commit.
	providerGrace = 2 * time.Minute
)

// Target is what routing needs to know of a Provider.
type Target struct {
	Ref       route.Ref
	Type      string
	Suspended bool
	// Problem says why nothing can be sent to it; empty when something can.
	Problem string
}

// Directory knows the Alerts, Providers and objects of the cluster. An error means that nothing is known: it is never
// taken for "none".
type Directory interface {
	Rules(ctx context.Context) ([]*route.Rule, error)
	// Target returns provider.ErrNotFound when there is none.
	Target(ctx context.Context, namespace, name string) (Target, error)
	// Labels returns nil when the object does not exist.
	Labels(ctx context.Context, object corev1.ObjectReference) (map[string]string, error)
}

// Router turns events into deliveries. Create it with New.
type Router struct {
	bus       bus.Bus
	directory Directory
	letters   *deadletter.Letters
	queues    *ledger.Queues
	history   *ledger.History
	objects   consume.Locks // events of one object are routed one after the other
	clock     clock.Clock
	log       logr.Logger
}

// New returns a router; the list of queues gets every Provider that something is queued for.
func New(b bus.Bus, d Directory, l *deadletter.Letters, q *ledger.Queues, c clock.Clock, log logr.Logger) *Router {
	return &Router{bus: b, directory: d, letters: l, queues: q, history: ledger.NewHistory(b), clock: c, log: log}
}

// Start routes until ctx ends. It implements manager.Runnable; the manager starts it once its caches are filled.
func (r *Router) Start(ctx context.Context) error {
	handle := consume.Guarded(r.Handle, r.giveUp, r.log)
	return consume.Run(ctx, r.bus, consumer(), handle, r.clock, r.log)
}

func consumer() bus.Consumer {
	return bus.Consumer{Stream: bus.Events(), Name: "notify-router", Parallel: parallel}
}

// Handle routes one event. Done means that everything it leads to is stored durably.
func (r *Router) Handle(ctx context.Context, d bus.Delivery) bus.Verdict {
	ev, err := event.Unwrap(event.Envelope{Subject: d.Subject, ID: d.ID, Header: d.Header, Data: d.Data})
	if err != nil {
		return r.refuse(ctx, d, err)
	}
	id := eventID(d)
	selected, err := r.route(ctx, id, ev, d.Stored)
	switch {
	case errors.Is(err, delivery.ErrTooLarge):
		return r.refuse(ctx, d, err)
	case err != nil && r.clock.Since(d.Stored) >= plan.MaxAge:
		return r.refuse(ctx, d, fmt.Errorf("not routed within %s: %w", plan.MaxAge, err))
	case err != nil:
		verdict := consume.Retry(d)
		r.logWaiting(id, ev, d.Attempt, verdict.RetryAfter, err)
		return verdict
	case selected != repeated:
		r.logRouted(id, ev, d.Attempt, selected)
		r.letters.Metrics.Routed(selected > 0)
	}
	return bus.Done()
}

func eventID(d bus.Delivery) string {
	if id := d.Header[event.HeaderID]; id != "" {
		return id
	}
	return delivery.Hash(d.Subject, string(d.Data)) // not of our making, but as good
}

func (r *Router) giveUp(ctx context.Context, d bus.Delivery, reason string) error {
	return r.letters.KeepMessage(ctx, d, "event: "+reason)
}

// refuse keeps an event that cannot be routed as a dead letter of its own.
func (r *Router) refuse(ctx context.Context, d bus.Delivery, cause error) bus.Verdict {
	if err := r.giveUp(ctx, d, redact.Error(cause)); err != nil {
		r.log.Error(err, "failed to keep an event on "+d.Subject+" as a dead letter")
		return consume.Retry(d)
	}
	return bus.Drop("event cannot be routed")
}

// repeated stands for an event that was routed before.
const repeated = -1

// route returns how many Alerts select the event, or repeated.
func (r *Router) route(ctx context.Context, id string, ev event.Event, stored time.Time) (int, error) {
	defer r.objects.Lock(delivery.ObjectKey(ev))()
	ctx, cancel := context.WithTimeout(ctx, routeTimeout)
	defer cancel()
	seen, failing, err := r.history.Look(ctx, id, ev, stored)
	if err != nil || seen {
		return repeated, err
	}
	selected, err := r.distribute(ctx, id, ev, occasion{stored: stored, failing: failing})
	if err != nil {
		return 0, err
	}
	return selected, r.history.Note(ctx, id, ev, stored, ev.Severity == eventv1.EventSeverityError)
}

// distribute stores a delivery for every Alert that selects the event, and returns how many do. What keeps one Alert's
// from being stored holds up no other's: the event comes again, and what was stored before keeps its id. What has to be
// given up is, once nothing is waited for.
func (r *Router) distribute(ctx context.Context, id string, ev event.Event, o occasion) (int, error) {
	rules, waiting := r.selecting(ctx, ev)
	var oversized error
	var hopeless []undeliverable
	for _, rule := range rules {
		lost, err := r.queue(ctx, id, ev, o, rule)
		switch {
		case errors.Is(err, delivery.ErrTooLarge):
			oversized = err
		case err != nil:
			waiting = errors.Join(waiting, fmt.Errorf("route for Alert %s: %w", rule.Alert, err))
		case lost.reason != "":
			hopeless = append(hopeless, lost)
		}
	}
	if waiting != nil {
		return 0, waiting
	}
	for _, lost := range hopeless {
		if err := r.letters.Keep(ctx, lost.record, lost.reason); err != nil {
			return 0, err
		}
	}
	return len(rules), oversized
}

// selecting returns the rules that select the event; the error says which others cannot be decided. The object's labels
// are read at most once.
func (r *Router) selecting(ctx context.Context, ev event.Event) ([]*route.Rule, error) {
	rules, err := r.directory.Rules(ctx)
	if err != nil {
		return nil, fmt.Errorf("list Alerts: %w", err)
	}
	labels := sync.OnceValues(func() (map[string]string, error) { return r.directory.Labels(ctx, ev.InvolvedObject) })
	object := delivery.About(ev)
	var selecting []*route.Rule
	var unknown error
	for _, rule := range rules {
		selected, err := rule.Selects(ev, labels)
		if err != nil {
			r.letters.Reports.Unknown(rule.Alert, object, redact.Error(err))
			unknown = fmt.Errorf("read the labels of %s: %w", object, err)
		}
		if selected {
			selecting = append(selecting, rule)
		}
	}
	return selecting, unknown
}

// occasion is when an event came.
type occasion struct {
	// stored is when the bus took it.
	stored time.Time
	// failing is set when the last that was told about the object before is a failure. What tells nothing new otherwise is its
	// recovery then: whoever had to say so has died before.
	failing bool
}

// undeliverable is a delivery that can never be sent, and why.
type undeliverable struct {
	record delivery.Record
	reason string
}

// queue stores the delivery that one Alert asks for, or returns it with a reason when it can never be sent.
func (r *Router) queue(ctx context.Context, id string, ev event.Event, o occasion, rule *route.Rule) (undeliverable, error) {
	notification, conflicts := rule.Notification(ev)
	if len(conflicts) > 0 {
		r.letters.Reports.Conflicting(rule.Alert, conflicts)
	}
	record := delivery.Record{
		Stored: o.stored, Alert: rule.Alert, Event: notification, EventID: id,
		Provider: route.Ref{Namespace: rule.Alert.Namespace, Name: rule.Provider},
	}
	record.ID = delivery.ID(id, rule.Alert, record.Provider)
	if rule.Problem != "" {
		return undeliverable{record, "the Alert is invalid: " + rule.Problem}, nil
	}
	target, err := r.directory.Target(ctx, rule.Alert.Namespace, rule.Provider)
	if errors.Is(err, provider.ErrNotFound) && r.clock.Since(o.stored) >= providerGrace {
		return undeliverable{record, "the Provider does not exist"}, nil
	}
	if err != nil {
		return undeliverable{}, fmt.Errorf("look up Provider %s: %w", record.Provider, err)
	}
	if target.Suspended || plan.Chat(target.Type) && route.CommitStatusUpdate(notification) && !o.failing {
		return undeliverable{}, nil
	}
	record.Provider, record.Type = target.Ref, target.Type
	record.ID = delivery.ID(id, rule.Alert, target.Ref)
	if target.Problem != "" {
		return undeliverable{record, target.Problem}, nil
	}
	return undeliverable{}, r.publish(ctx, record)
}

func (r *Router) publish(ctx context.Context, record delivery.Record) error {
	if err := r.queues.Add(ctx, record.Provider); err != nil {
		return err
	}
	data, err := record.Encode()
	if err != nil {
		return err
	}
	return r.bus.Publish(ctx, delivery.Stream(), bus.Message{
		Subject: delivery.Subject(record.Provider), ID: record.ID, Data: data,
	})
}
