package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

const (
	// routeParallel is how many events are routed at a time.
	routeParallel = 8
	// routeTimeout bounds one attempt to route an event, whatever the API server and the broker do.
	routeTimeout = 30 * time.Second
	// maxRouteRetry bounds the wait after anything that keeps an event from being routed.
	maxRouteRetry = time.Minute
	// providerGrace is how long an Alert may name a Provider that is not there yet: both may come with one commit.
	providerGrace = 2 * time.Minute
)

// ErrNoProvider says that the Provider an Alert names does not exist.
var ErrNoProvider = errors.New("provider not found")

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
	// Target returns ErrNoProvider when there is none.
	Target(ctx context.Context, namespace, name string) (Target, error)
	// Labels returns nil when the object does not exist.
	Labels(ctx context.Context, object corev1.ObjectReference) (map[string]string, error)
}

// Router turns events into deliveries. Create it with NewRouter.
type Router struct {
	bus       bus.Bus
	directory Directory
	morgue    *Morgue
	roster    *Roster
	history   *history
	objects   turns // events of one object are routed one after the other
	clock     clock.Clock
	log       logr.Logger
}

// NewRouter returns a router; the roster is told of every Provider that something is queued for.
func NewRouter(b bus.Bus, d Directory, m *Morgue, r *Roster, c clock.Clock, log logr.Logger) *Router {
	return &Router{bus: b, directory: d, morgue: m, roster: r, history: newHistory(b), clock: c, log: log}
}

// Start routes until ctx ends. It implements manager.Runnable; the manager starts it once its caches are filled.
func (r *Router) Start(ctx context.Context) error {
	handle := guarded(r.Handle, r.giveUp, r.log)
	return consume(ctx, r.bus, router(routeParallel), handle, r.clock, r.log)
}

// Handle routes one event. Done means that everything it leads to is stored durably.
func (r *Router) Handle(ctx context.Context, d bus.Delivery) bus.Verdict {
	ev, err := event.Unwrap(event.Envelope{Subject: d.Subject, ID: d.ID, Header: d.Header, Data: d.Data})
	if err != nil {
		return r.refuse(ctx, d, err)
	}
	id := eventID(d)
	result, err := r.route(ctx, id, ev, d.Stored)
	switch {
	case errors.Is(err, errTooLarge):
		return r.refuse(ctx, d, err)
	case err != nil && r.clock.Since(d.Stored) >= plan.MaxAge:
		return r.refuse(ctx, d, fmt.Errorf("not routed within %s: %w", plan.MaxAge, err))
	case err != nil:
		r.morgue.Metrics.event(resultRetried)
		r.log.Info("event not routed yet", "event", id, "subject", d.Subject, "attempt", d.Attempt, "reason", redact.Error(err))
		return retry(d)
	}
	r.morgue.Metrics.event(result)
	return bus.Done()
}

func retry(d bus.Delivery) bus.Verdict {
	return bus.Retry(min(plan.Backoff(d.Attempt, rand.Float64()), maxRouteRetry))
}

func eventID(d bus.Delivery) string {
	if id := d.Header[event.HeaderID]; id != "" {
		return id
	}
	return hash(d.Subject, string(d.Data)) // not of our making, but as good
}

func (r *Router) giveUp(ctx context.Context, d bus.Delivery, reason string) error {
	return r.morgue.buryEvent(ctx, d, "event: "+reason)
}

// refuse keeps an event that cannot be routed as a dead letter of its own.
func (r *Router) refuse(ctx context.Context, d bus.Delivery, cause error) bus.Verdict {
	if err := r.giveUp(ctx, d, redact.Error(cause)); err != nil {
		r.log.Error(err, "event cannot be routed", "subject", d.Subject)
		return retry(d)
	}
	r.morgue.Metrics.event("refused")
	r.log.Info("event that cannot be routed kept as a dead letter", "subject", d.Subject, "reason", event.Shorten(redact.Error(cause), 200))
	return bus.Drop("event cannot be routed")
}

func (r *Router) route(ctx context.Context, id string, ev event.Event, stored time.Time) (string, error) {
	defer r.objects.take(objectKey(ev))()
	ctx, cancel := context.WithTimeout(ctx, routeTimeout)
	defer cancel()
	repeated, failing, err := r.history.look(ctx, id, ev, stored)
	if err != nil || repeated {
		return "repeated", err
	}
	selected, err := r.distribute(ctx, id, ev, occasion{stored: stored, failing: failing})
	if err != nil {
		return "", err
	}
	if err := r.history.note(ctx, id, ev, stored); err != nil {
		return "", err
	}
	if selected == 0 {
		return "unmatched", nil
	}
	return "routed", nil
}

// distribute stores a delivery for every Alert that selects the event, and returns how many do. What keeps one Alert's
// from being stored holds up no other's: the event comes again, and what was stored before keeps its id. What has to be
// given up is, once nothing is waited for.
func (r *Router) distribute(ctx context.Context, id string, ev event.Event, o occasion) (int, error) {
	rules, waiting := r.selecting(ctx, ev)
	var oversized error
	var hopeless []burial
	for _, rule := range rules {
		lost, err := r.queue(ctx, id, ev, o, rule)
		switch {
		case errors.Is(err, errTooLarge):
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
		if err := r.morgue.bury(ctx, lost.record, lost.reason); err != nil {
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
	object := ev.InvolvedObject.Kind + "/" + ev.InvolvedObject.Namespace + "/" + ev.InvolvedObject.Name
	var selecting []*route.Rule
	var unknown error
	for _, rule := range rules {
		selected, err := rule.Selects(ev, labels)
		if err != nil {
			r.morgue.Reports.Unknown(rule.Alert, object, redact.Error(err))
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

// burial is a delivery that can never be sent, and why.
type burial struct {
	record Record
	reason string
}

// queue stores the delivery that one Alert asks for, or returns it with a reason when it can never be sent.
func (r *Router) queue(ctx context.Context, id string, ev event.Event, o occasion, rule *route.Rule) (burial, error) {
	notification, conflicts := rule.Notification(ev)
	if len(conflicts) > 0 {
		r.morgue.Reports.Conflicting(rule.Alert, conflicts)
	}
	record := Record{
		Stored: o.stored, Alert: rule.Alert, Event: notification,
		Provider: route.Ref{Namespace: rule.Alert.Namespace, Name: rule.Provider},
	}
	record.ID = recordID(id, rule.Alert, record.Provider)
	if rule.Problem != "" {
		return burial{record, "the Alert is invalid: " + rule.Problem}, nil
	}
	target, err := r.directory.Target(ctx, rule.Alert.Namespace, rule.Provider)
	if errors.Is(err, ErrNoProvider) && r.clock.Since(o.stored) >= providerGrace {
		return burial{record, "the Provider does not exist"}, nil
	}
	if err != nil {
		return burial{}, fmt.Errorf("look up Provider %s: %w", record.Provider, err)
	}
	if target.Suspended || plan.Chat(target.Type) && route.CommitStatusUpdate(notification) && !o.failing {
		return burial{}, nil
	}
	record.Provider = target.Ref
	record.ID = recordID(id, rule.Alert, target.Ref)
	if target.Problem != "" {
		return burial{record, target.Problem}, nil
	}
	return burial{}, r.publish(ctx, record)
}

func (r *Router) publish(ctx context.Context, record Record) error {
	if err := r.roster.add(ctx, record.Provider); err != nil {
		return err
	}
	data, err := record.encode()
	if err != nil {
		return err
	}
	return r.bus.Publish(ctx, Deliveries(), bus.Message{
		Subject: deliverySubject + string(record.Provider.UID), ID: record.ID, Data: data,
	})
}
