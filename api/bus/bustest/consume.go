package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

func retried(t *testing.T, b bus.Bus) {
	s := newStream()
	publish(t, b, s, message(s, "a", "one"), message(s, "a", "two"))
	const delay = 400 * time.Millisecond
	type seen struct {
		bus.Delivery
		at time.Time
	}
	got := make(chan seen, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, func(_ context.Context, d bus.Delivery) bus.Verdict {
		got <- seen{d, time.Now()}
		if d.ID == "one" && d.Attempt == 1 {
			return bus.Retry(delay)
		}
		return bus.Done()
	})
	first, second, third := receive(t, got), receive(t, got), receive(t, got)
	if first.ID != "one" || second.ID != "two" || third.ID != "one" {
		t.Fatalf("order %s %s %s, want one two one: a retry must not hold up what follows", first.ID, second.ID, third.ID)
	}
	if third.Attempt != 2 {
		t.Errorf("attempt %d, want 2", third.Attempt)
	}
	if waited := third.at.Sub(first.at); waited < delay-50*time.Millisecond {
		t.Errorf("came again after %v, want %v at least", waited, delay)
	}
}

func dropped(t *testing.T, b bus.Bus) {
	s := newStream()
	publish(t, b, s, message(s, "a", "poison"), message(s, "a", "fine"))
	got := make(chan bus.Delivery, 8)
	stop := consume(t, b, bus.Consumer{Stream: s, Name: "c"}, func(_ context.Context, d bus.Delivery) bus.Verdict {
		got <- d
		if d.ID == "poison" {
			return bus.Drop("malformed\r\nmessage")
		}
		return bus.Done()
	})
	receive(t, got)
	if d := receive(t, got); d.ID != "fine" {
		t.Fatalf("got %q after the dropped message", d.ID)
	}
	stop()
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	receiveNone(t, got)
}

func panics(t *testing.T, b bus.Bus) {
	s := newStream()
	publish(t, b, s, message(s, "a", "bad"), message(s, "a", "fine"))
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, func(_ context.Context, d bus.Delivery) bus.Verdict {
		if d.ID == "bad" {
			panic("a handler's fault")
		}
		got <- d
		return bus.Done()
	})
	if d := receive(t, got); d.ID != "fine" {
		t.Errorf("got %q", d.ID)
	}
}

func durable(t *testing.T, b bus.Bus) {
	s := newStream()
	c := bus.Consumer{Stream: s, Name: "c"}
	got := make(chan bus.Delivery, 8)
	stop := consume(t, b, c, collect(got))
	publish(t, b, s, message(s, "a", "one"), message(s, "a", "two"))
	receive(t, got)
	receive(t, got)
	stop()
	publish(t, b, s, message(s, "a", "three"))
	consume(t, b, c, collect(got))
	if d := receive(t, got); d.ID != "three" || d.Attempt != 1 {
		t.Errorf("got %q, attempt %d, want three, attempt 1", d.ID, d.Attempt)
	}
	receiveNone(t, got)
}

func doneAtTheEnd(t *testing.T, b bus.Bus) {
	s := newStream()
	c := bus.Consumer{Stream: s, Name: "c"}
	publish(t, b, s, message(s, "a", "one"))
	begun := make(chan struct{})
	stop := consume(t, b, c, func(ctx context.Context, _ bus.Delivery) bus.Verdict {
		close(begun)
		<-ctx.Done()
		return bus.Done()
	})
	receive(t, begun)
	stop()
	got := make(chan bus.Delivery, 1)
	consume(t, b, c, collect(got))
	receiveNone(t, got)
}

func independent(t *testing.T, b bus.Bus) {
	s := newStream()
	for _, name := range []string{"first", "second"} {
		got := make(chan bus.Delivery, 8)
		consume(t, b, bus.Consumer{Stream: s, Name: name}, collect(got))
		if name == "first" {
			publish(t, b, s, message(s, "a", "one"), message(s, "a", "two"))
		}
		for _, id := range []string{"one", "two"} {
			if d := receive(t, got); d.ID != id {
				t.Errorf("%s got %q, want %q", name, d.ID, id)
			}
		}
	}
}

func filtered(t *testing.T, b bus.Bus) {
	s := newStream()
	publish(t, b, s, message(s, "a.x", "1"), message(s, "b.x", "2"), message(s, "a.y", "3"), message(s, "a.y.z", "4"))
	tests := map[string]struct {
		filter string
		want   []string
	}{
		"exact":     {subject(s, "b.x"), []string{"2"}},
		"one-token": {subject(s, "a.*"), []string{"1", "3"}},
		"the-rest":  {subject(s, "a.>"), []string{"1", "3", "4"}},
		"all":       {"", []string{"1", "2", "3", "4"}},
	}
	for name, test := range tests {
		got := make(chan bus.Delivery, 8)
		stop := consume(t, b, bus.Consumer{Stream: s, Name: name, Filter: test.filter}, collect(got))
		for _, id := range test.want {
			if d := receive(t, got); d.ID != id {
				t.Errorf("%s: got %q, want %q", name, d.ID, id)
			}
		}
		receiveNone(t, got)
		stop()
	}
}

func parallel(t *testing.T, b bus.Bus) {
	const want, messages = 4, 12
	s := newStream()
	for i := range messages {
		publish(t, b, s, message(s, "a", fmt.Sprint(i)))
	}
	var now, most atomic.Int64
	meet := make(chan struct{}, messages)
	leave := make(chan struct{})
	consume(t, b, bus.Consumer{Stream: s, Name: "c", Parallel: want}, func(context.Context, bus.Delivery) bus.Verdict {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		meet <- struct{}{}
		<-leave
		return bus.Done()
	})
	for range want {
		receive(t, meet)
	}
	select {
	case <-meet:
		t.Errorf("more than %d handlers at a time", want)
	case <-time.After(quiet):
	}
	close(leave)
	for range messages - want {
		receive(t, meet)
	}
	if most.Load() > want {
		t.Errorf("%d handlers at a time, want %d at most", most.Load(), want)
	}
}

func slow(t *testing.T, b bus.Bus) {
	s := newStream()
	publish(t, b, s, message(s, "a", "slow"))
	for i := range 50 {
		publish(t, b, s, message(s, "a", fmt.Sprint(i)))
	}
	release := make(chan struct{})
	got := make(chan bus.Delivery, 64)
	consume(t, b, bus.Consumer{Stream: s, Name: "c", Parallel: 2}, func(_ context.Context, d bus.Delivery) bus.Verdict {
		if d.ID == "slow" {
			<-release
		}
		got <- d
		return bus.Done()
	})
	for range 50 {
		if d := receive(t, got); d.ID == "slow" {
			t.Error("the slow message came first")
		}
	}
	close(release)
	if d := receive(t, got); d.ID != "slow" || d.Attempt != 1 {
		t.Errorf("got %q, attempt %d", d.ID, d.Attempt)
	}
}

func cancelled(t *testing.T, b bus.Bus) {
	s := newStream()
	publish(t, b, s, message(s, "a", "one"))
	begun := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, bus.Consumer{Stream: s, Name: "c"}, func(ctx context.Context, _ bus.Delivery) bus.Verdict {
			begun <- struct{}{}
			<-ctx.Done()
			return bus.Retry(time.Second)
		})
	}()
	receive(t, begun)
	cancel()
	if err := receive(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("consume returned %v, want the context's error", err)
	}
}

func workQueue(t *testing.T, b bus.Bus) {
	s := newStream()
	s.WorkQueue = true
	s.MaxBytes = 8 << 10
	big := func(id string) bus.Message {
		return bus.Message{Subject: subject(s, "a"), ID: id, Data: make([]byte, 5<<10)}
	}
	publish(t, b, s, big("one"))
	if err := b.Publish(t.Context(), s, big("two")); !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("the queue takes more than it has room for: %v", err)
	}
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	receive(t, got)
	eventually(t, "the handled message is gone", func() bool { return b.Publish(t.Context(), s, big("two")) == nil })
	if d := receive(t, got); d.ID != "two" {
		t.Errorf("got %q", d.ID)
	}
}

func forgotten(t *testing.T, b bus.Bus) {
	s := newStream()
	c := bus.Consumer{Stream: s, Name: "c"}
	if err := b.Forget(t.Context(), c); err != nil {
		t.Errorf("forget an absent consumer of an absent stream: %v", err)
	}
	publish(t, b, s, message(s, "a", "one"))
	got := make(chan bus.Delivery, 8)
	stop := consume(t, b, c, collect(got))
	receive(t, got)
	stop()
	if err := b.Forget(t.Context(), c); err != nil {
		t.Fatalf("forget: %v", err)
	}
	consume(t, b, c, collect(got))
	if d := receive(t, got); d.ID != "one" || d.Attempt != 1 {
		t.Errorf("got %q, attempt %d, want one, attempt 1", d.ID, d.Attempt)
	}
}

func badNames(t *testing.T, b bus.Bus) {
	s := newStream()
	handle := func(context.Context, bus.Delivery) bus.Verdict { return bus.Done() }
	for _, c := range []bus.Consumer{
		{Stream: s, Name: ""},
		{Stream: s, Name: "a.b"},
		{Stream: s, Name: "a b"},
		{Stream: bus.Stream{Name: "a.b", Subjects: []string{"x"}}, Name: "c"},
		{Stream: bus.Stream{Name: "NO_SUBJECTS"}, Name: "c"},
	} {
		if err := b.Consume(t.Context(), c, handle); err == nil {
			t.Errorf("consumer %q of stream %q is accepted", c.Name, c.Stream.Name)
		}
		if err := b.Forget(t.Context(), c); err == nil {
			t.Errorf("consumer %q of stream %q is forgotten", c.Name, c.Stream.Name)
		}
	}
}
