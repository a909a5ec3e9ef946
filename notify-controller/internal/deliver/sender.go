package deliver

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/notify-controller/internal/consume"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deadletter"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ledger"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
	"github.com/sluice-gitops/sluice/notify-controller/internal/provider"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

const (
	// leaseMargin is what a claim's lease lasts beyond the send's timeout.
	leaseMargin = 5 * time.Second
	// brokerWait is the wait after an error that is not the target's.
	brokerWait = 2 * time.Second
	// noteTimeout bounds noting an outcome, which a shutdown does not interrupt.
	noteTimeout = 10 * time.Second
	// openTimeout bounds reading a Provider and its Secrets.
	openTimeout = 15 * time.Second
	// maxUnnoted is how many sends that could not be noted are remembered.
	maxUnnoted = 4096
)

// Opened is a Provider as it is now, Secrets read.
type Opened struct {
	Provider provider.Provider
	// Timeout of one send.
	Timeout time.Duration
	// Suspended holds deliveries back.
	Suspended bool
}

// Open makes a Provider ready. Its errors: provider.ErrNotFound when it does not exist, or has another UID; a
// *provider.InvalidError when its user has to change something; any other error passes.
type Open func(ctx context.Context, ref route.Ref) (Opened, error)

// Sender handles deliveries. Create it with NewSender.
type Sender struct {
	open      Open
	letters   *deadletter.Letters
	ledger    *ledger.Ledger
	incidents *ledger.Table[plan.Incident]
	clock     clock.Clock
	log       logr.Logger
	// objects has what is about one object, for one Provider, sent one after the other.
	objects consume.Locks

	mu      sync.Mutex
	paused  map[route.Ref]time.Time
	unnoted map[string]bool
	blocks  map[route.Ref]string // why nothing can be tried for a Provider now, as it was logged
}

// NewSender returns a sender whose ledger is on the bus.
func NewSender(b bus.Bus, open Open, l *deadletter.Letters, c clock.Clock, log logr.Logger) *Sender {
	return &Sender{
		open: open, letters: l, ledger: ledger.New(b), clock: c, log: log,
		incidents: ledger.Incidents(b),
		paused:    map[route.Ref]time.Time{},
		unnoted:   map[string]bool{},
		blocks:    map[route.Ref]string{},
	}
}

// Handle tries one delivery, those about one object one after the other, as they come. While the target has asked
// everybody to wait it waits itself: what has not come up yet costs nothing then. A shutdown ends that, but does not
// interrupt a send under way: it is finished and noted.
func (s *Sender) Handle(ctx context.Context, d bus.Delivery) bus.Verdict {
	stopping := ctx.Done()
	ctx = context.WithoutCancel(ctx)
	record, err := delivery.Decode(d.Data)
	if err != nil {
		return s.refuse(ctx, d, err)
	}
	defer s.objects.Lock(string(record.Provider.UID) + "/" + delivery.ObjectKey(record.Event))()
	if !s.unpaused(stopping, record.Provider) {
		return bus.Retry(brokerWait)
	}
	known, err := s.ledger.Read(ctx, record.ID)
	if err != nil {
		return s.later(record, err)
	}
	state := s.state(d, record, known)
	if plan.Begin(state).Kind == plan.Finish {
		s.noteLater(ctx, record, known)
		return bus.Done()
	}
	opened, err := s.look(ctx, record, &state)
	if err != nil {
		return s.later(record, err)
	}
	action := plan.Begin(state)
	s.logDecision(record, action)
	switch action.Kind {
	case plan.Wait:
		return bus.Retry(action.After)
	case plan.GiveUp:
		return s.giveUp(ctx, record, known, action.Why)
	case plan.Finish:
		return bus.Done()
	}
	return s.try(ctx, record, known, opened)
}

// look opens the Provider, and adds what there is to say about it to the state. An error passes.
func (s *Sender) look(ctx context.Context, record delivery.Record, state *plan.State) (Opened, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	opened, err := s.open(ctx, record.Provider)
	var wrong *provider.InvalidError
	switch {
	case errors.Is(err, provider.ErrNotFound):
		state.Problem = "the Provider was deleted"
	case errors.As(err, &wrong):
		state.Problem = wrong.Reason
	case err != nil && state.Age < plan.MaxAge:
		return opened, err
	case err != nil:
		state.LastFailure = "the Provider or its Secret cannot be read"
	}
	state.Suspended = opened.Suspended
	return opened, nil
}

func (s *Sender) state(d bus.Delivery, record delivery.Record, known ledger.Entry) plan.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	state := plan.State{
		Stage: known.Stage, Leased: known.Until.Sub(now), Age: now.Sub(d.Stored),
		LastFailure: known.Failure,
	}
	if known.Stage == plan.Failed { // the broker waits, too, unless it never heard for how long
		state.Paused = known.Until.Sub(now)
	}
	if s.unnoted[record.ID] {
		state.Stage = plan.Delivered
	}
	return state
}

// try sends, after it has claimed the delivery and noted what that does to the target's state.
func (s *Sender) try(ctx context.Context, record delivery.Record, known ledger.Entry, opened Opened) bus.Verdict {
	if stateful, ok := opened.Provider.(provider.Stateful); ok {
		action, err := s.arrange(ctx, record, stateful.Subject(record.Event), stateful.Effect(record.Event))
		if err != nil {
			return s.later(record, err)
		}
		s.logDecision(record, action)
		if action.Kind == plan.Finish {
			s.dropped(record, action.Why)
			return bus.Done()
		}
	}
	known.Tries++
	known.Stage, known.Until = plan.Claimed, s.clock.Now().Add(opened.Timeout+leaseMargin)
	known, err := s.ledger.Write(ctx, record.ID, known)
	if err != nil {
		return s.later(record, err)
	}
	s.unblocked(record)
	sendCtx, cancel := context.WithTimeout(ctx, opened.Timeout)
	defer cancel()
	started := s.clock.Now()
	failure := opened.Provider.Send(sendCtx, record.Event)
	return s.conclude(ctx, record, known, failure, s.clock.Since(started))
}

// arrange notes what the delivery will do to the target's state before it is sent: whatever comes of the send, nothing
// older to the opposite effect may follow it.
func (s *Sender) arrange(ctx context.Context, record delivery.Record, subject string, effect plan.Effect) (plan.Action, error) {
	key := delivery.Hash(string(record.Provider.UID), subject)
	known, revision, err := s.incidents.Get(ctx, key)
	if err != nil {
		return plan.Action{}, err
	}
	next, action := plan.Arrange(known, effect, record.Stored)
	if action.Kind == plan.Send && next != known {
		_, err = s.incidents.Put(ctx, key, next, revision)
	}
	return action, err
}

func (s *Sender) conclude(ctx context.Context, record delivery.Record, known ledger.Entry, failure error, took time.Duration) bus.Verdict {
	jitter := rand.Float64()
	outcome := plan.Outcome{OK: failure == nil, Tries: known.Tries, Jitter: jitter}
	outcome.Reason = "the notification could not be sent"
	var refused *provider.Failure
	if errors.As(failure, &refused) {
		outcome.Permanent, outcome.Reason, outcome.RetryAfter = refused.Permanent, refused.Reason, refused.RetryAfter
	}
	s.letters.Metrics.Sent(record.Type, outcome.OK, took)
	action := plan.End(outcome)
	s.logDecision(record, action)
	switch action.Kind {
	case plan.Finish:
		s.note(ctx, record, known)
		s.delivered(record, known.Tries, took)
		return bus.Done()
	case plan.GiveUp:
		return s.giveUp(ctx, record, known, action.Why)
	}
	before := known.Failure
	known.Stage, known.Until, known.Failure = plan.Failed, time.Time{}, outcome.Reason
	if outcome.RetryAfter > 0 {
		known.Until = s.clock.Now().Add(action.After)
		s.pause(record.Provider, known.Until)
	}
	if _, err := s.ledger.Write(ctx, record.ID, known); err != nil {
		s.logUnnoted(record, err)
	}
	s.failed(record, known, before == known.Failure, action.After)
	return bus.Retry(action.After)
}

// note records a delivery in the ledger, or, if the broker is gone, in memory until it comes up again.
func (s *Sender) note(ctx context.Context, record delivery.Record, known ledger.Entry) {
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	known.Stage, known.Until, known.Failure = plan.Delivered, time.Time{}, ""
	if _, err := s.ledger.Write(ctx, record.ID, known); err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unnoted) < maxUnnoted {
		s.unnoted[record.ID] = true
	}
}

// noteLater notes what note could not; what comes up again is noted by the process that sent it, or stays in its memory.
func (s *Sender) noteLater(ctx context.Context, record delivery.Record, known ledger.Entry) {
	s.mu.Lock()
	unnoted := s.unnoted[record.ID]
	delete(s.unnoted, record.ID)
	s.mu.Unlock()
	if unnoted {
		s.note(ctx, record, known)
	}
}

func (s *Sender) giveUp(ctx context.Context, record delivery.Record, known ledger.Entry, reason string) bus.Verdict {
	if err := s.letters.Keep(ctx, record, reason); err != nil {
		return s.later(record, err)
	}
	known.Stage, known.Until, known.Failure = plan.Dead, time.Time{}, reason
	if _, err := s.ledger.Write(ctx, record.ID, known); err != nil {
		s.logUnnoted(record, err)
	}
	return bus.Done()
}

// giveUpMessage gives up what cannot be handled at all.
func (s *Sender) giveUpMessage(ctx context.Context, d bus.Delivery, reason string) error {
	record, err := delivery.Decode(d.Data)
	if err != nil {
		return s.letters.KeepMessage(ctx, d, "delivery: "+reason)
	}
	return s.letters.Keep(ctx, record, reason)
}

func (s *Sender) refuse(ctx context.Context, d bus.Delivery, cause error) bus.Verdict {
	if err := s.letters.KeepMessage(ctx, d, "delivery: "+cause.Error()); err != nil {
		s.log.Error(err, "failed to keep a message on "+d.Subject+" as a dead letter")
		return bus.Retry(brokerWait)
	}
	return bus.Drop("unreadable delivery")
}

// later is the verdict on an error that is neither the notification's nor the target's.
func (s *Sender) later(record delivery.Record, err error) bus.Verdict {
	s.blocked(record, err)
	return bus.Retry(brokerWait)
}

// pause holds everything for a Provider back that asked to wait. What asked waits in the ledger, over restarts.
func (s *Sender) pause(target route.Ref, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.paused[target]) {
		s.paused[target] = until
	}
}

// unpaused waits until nothing for the target is held back. It returns false when stopping comes first.
func (s *Sender) unpaused(stopping <-chan struct{}, target route.Ref) bool {
	for {
		s.mu.Lock()
		wait := s.paused[target].Sub(s.clock.Now())
		s.mu.Unlock()
		if wait <= 0 {
			return true
		}
		timer := s.clock.NewTimer(wait)
		select {
		case <-stopping:
			timer.Stop()
			return false
		case <-timer.C():
		}
	}
}

// resume ends a pause.
func (s *Sender) resume(target route.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paused, target)
}

// forget drops what is remembered of a Provider that is gone.
func (s *Sender) forget(target route.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paused, target)
	delete(s.blocks, target)
}
