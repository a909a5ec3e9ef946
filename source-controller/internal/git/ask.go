package git

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

const (
	// settle is how long nobody must have asked for a reconcile before a repository is asked that several objects follow, and
	// maxSettle for how long that is waited at most: who pokes all of them does so one after the other.
	settle, maxSettle = 50 * time.Millisecond, time.Second
	// kept is how long an answer is kept for those who waited for a worker meanwhile.
	kept = 2 * time.Second
)

// Asks are what repositories are asked now and were asked just now, so that those who ask the same with the same credentials
// share the answer. An answer is as old as the moment at which it was asked for, credentials and all; nobody gets one that is
// older than what he wants to know. It is safe for concurrent use, and its zero value is ready for it.
type Asks struct {
	// Clock tells the time; nil for time.Now.
	Clock func() time.Time

	mu      sync.Mutex
	current map[Upstream]*ask
	// noted is when a reconcile was last asked for, until the repository is asked.
	noted map[Upstream]time.Time
}

// ask is one question. Its fields below done are set before that is closed.
type ask struct {
	// started is zero until it begins.
	started time.Time
	done    chan struct{}

	advertised plan.Advertised
	session    *Session
	err        error
	// cut is set when the asker had no more time: it says nothing to others.
	cut bool

	// holders use the session; over is set when nobody new may. Both are guarded by the lock of all.
	holders int
	over    bool
}

// Answer is what a repository has. Close must be called.
type Answer struct {
	plan.Advertised
	// Session is the conversation that it is from. Those who share it fetch one after the other, as the clone makes them.
	Session *Session
	// Own is set when it was asked for by its holder.
	Own bool

	release func()
}

// Close releases the answer.
func (a *Answer) Close() { a.release() }

func (a *Asks) now() time.Time {
	if a.Clock == nil {
		return time.Now()
	}
	return a.Clock()
}

// Expect notes that somebody asked for a reconcile of an object that will ask.
func (a *Asks) Expect(u Upstream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.noted == nil {
		a.noted = map[Upstream]time.Time{}
	}
	a.noted[u] = a.now()
}

// Ask returns an answer that is no older than since: that of another one who asks, or the answer to an own question, for which
// open reads the credentials. If the objects that ask are several, a burst of requests is waited for.
func (a *Asks) Ask(
	ctx context.Context, u Upstream, since time.Time, several bool, open func(context.Context) (*Session, error),
) (*Answer, error) {
	for {
		question, mine := a.join(u, since)
		if mine {
			a.put(ctx, u, question, several, open)
			return a.answer(question, true)
		}
		select {
		case <-question.done:
		case <-ctx.Done():
			a.release(question)
			return nil, fmt.Errorf("%w: the repository did not answer in time", ErrTimeout)
		}
		a.mu.Lock()
		usable := !question.cut && !question.started.Before(since)
		a.mu.Unlock()
		if usable {
			return a.answer(question, false)
		}
		a.release(question)
	}
}

// join takes part in the question that is open, or puts a new one. Whoever wants to know what is newer than the one that is
// open waits for its end, with all others who do.
func (a *Asks) join(u Upstream, since time.Time) (question *ask, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	question = a.current[u]
	if question != nil {
		select {
		case <-question.done:
			if question.cut || question.started.Before(since) {
				question = nil
			}
		default:
		}
	}
	if mine = question == nil; mine {
		if a.current == nil {
			a.current = map[Upstream]*ask{}
		}
		if old := a.current[u]; old != nil {
			a.end(u, old)
		}
		question = &ask{done: make(chan struct{})}
		a.current[u] = question
	}
	question.holders++
	return question, mine
}

// put asks.
func (a *Asks) put(ctx context.Context, u Upstream, question *ask, several bool, open func(context.Context) (*Session, error)) {
	if several {
		a.settle(ctx, u)
	}
	a.mu.Lock()
	question.started = a.now()
	delete(a.noted, u)
	a.mu.Unlock()
	session, err := open(ctx)
	var advertised plan.Advertised
	if err == nil {
		advertised, err = session.Advertise(ctx)
	}
	a.mu.Lock()
	question.advertised, question.session, question.err = advertised, session, err
	question.cut = err != nil && ctx.Err() != nil
	a.mu.Unlock()
	close(question.done)
	time.AfterFunc(kept, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.end(u, question)
	})
}

// settle waits until nobody has asked for a reconcile for a moment.
func (a *Asks) settle(ctx context.Context, u Upstream) {
	for deadline := a.now().Add(maxSettle); ; {
		a.mu.Lock()
		last, ok := a.noted[u]
		a.mu.Unlock()
		wait := min(last.Add(settle).Sub(a.now()), deadline.Sub(a.now()))
		if !ok || wait <= 0 {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (a *Asks) answer(question *ask, own bool) (*Answer, error) {
	if question.err != nil {
		a.release(question)
		return nil, question.err
	}
	return &Answer{
		Advertised: question.advertised, Session: question.session, Own: own,
		release: sync.OnceFunc(func() { a.release(question) }),
	}, nil
}

// release ends one holder's use of a question.
func (a *Asks) release(question *ask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	question.holders--
	a.close(question)
}

// end keeps a question from new holders. The lock must be held.
func (a *Asks) end(u Upstream, question *ask) {
	if a.current[u] == question {
		delete(a.current, u)
	}
	question.over = true
	a.close(question)
}

// close closes the session of a question that nobody needs. The lock must be held.
func (a *Asks) close(question *ask) {
	if question.over && question.holders == 0 && question.session != nil {
		question.session.Close()
		question.session = nil
	}
}
