package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/api/bus"
)

func arrives(t *testing.T, b bus.Bus) {
	s := newStream()
	sent := message(s, "a.b", "one")
	sent.Header = map[string]string{"ce-id": "one", "content-type": "application/json"}
	before := time.Now()
	publish(t, b, s, sent)
	got := make(chan bus.Delivery, 1)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	d := receive(t, got)
	if d.Subject != sent.Subject || d.ID != sent.ID || !bytes.Equal(d.Data, sent.Data) {
		t.Errorf("got %+v, sent %+v", d.Message, sent)
	}
	if len(d.Header) != 2 || d.Header["ce-id"] != "one" || d.Header["content-type"] != "application/json" {
		t.Errorf("headers %v, sent %v", d.Header, sent.Header)
	}
	if d.Attempt != 1 {
		t.Errorf("attempt %d, want 1", d.Attempt)
	}
	if d.Stored.Before(before.Add(-time.Minute)) || d.Stored.After(time.Now().Add(time.Minute)) {
		t.Errorf("stored at %v, published at %v", d.Stored, before)
	}
}

func storedOnce(t *testing.T, b bus.Bus) {
	s := newStream()
	publish(t, b, s, message(s, "a", "one"), message(s, "a", "one"), message(s, "a", "two"), message(s, "a", "one"))
	got := make(chan bus.Delivery, 8)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	for _, id := range []string{"one", "two"} {
		if d := receive(t, got); d.ID != id {
			t.Errorf("got %q, want %q", d.ID, id)
		}
	}
	receiveNone(t, got)
}

func refused(t *testing.T, b bus.Bus) {
	s := newStream()
	tests := map[string]bus.Message{
		"subject of no stream":    {Subject: "elsewhere.a"},
		"wildcard":                {Subject: subject(s, "*")},
		"empty token":             {Subject: subject(s, "a..b")},
		"white space":             {Subject: subject(s, "a b")},
		"no subject":              {},
		"too much data":           {Subject: subject(s, "a"), Data: make([]byte, 64<<10+1)},
		"too many headers":        {Subject: subject(s, "a"), Header: map[string]string{"h": strings.Repeat("x", 9<<10)}},
		"line break in a header":  {Subject: subject(s, "a"), Header: map[string]string{"h": "x\r\ny: z"}},
		"line break in an id":     {Subject: subject(s, "a"), ID: "x\ny"},
		"colon in a header's key": {Subject: subject(s, "a"), Header: map[string]string{"h:": "x"}},
	}
	for name, m := range tests {
		err := b.Publish(t.Context(), s, m)
		if err == nil || errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("%s: got %v, want an error that waiting does not mend", name, err)
		}
	}
	largest := bus.Message{Subject: subject(s, "a"), ID: "largest", Data: make([]byte, 64<<10),
		Header: map[string]string{"h": strings.Repeat("x", 8000)}}
	publish(t, b, s, largest)
}

func full(t *testing.T, b bus.Bus) {
	s := newStream()
	s.MaxBytes = 16 << 10
	stored := 0
	var err error
	for err == nil && stored < 100 {
		m := bus.Message{Subject: subject(s, "a"), ID: fmt.Sprint(stored), Data: make([]byte, 1<<10)}
		if err = b.Publish(t.Context(), s, m); err == nil {
			stored++
		}
	}
	if !errors.Is(err, bus.ErrUnavailable) {
		t.Fatalf("publishing to a full stream: got %v after %d messages, want ErrUnavailable", err, stored)
	}
	got := make(chan bus.Delivery, 100)
	consume(t, b, bus.Consumer{Stream: s, Name: "c"}, collect(got))
	for i := range stored {
		if d := receive(t, got); d.ID != fmt.Sprint(i) {
			t.Fatalf("delivery %d is %q: something unread was evicted", i, d.ID)
		}
	}
}

func closed(t *testing.T, b bus.Bus) {
	s := newStream()
	b.Close()
	if b.Connected() {
		t.Error("a closed bus says it is connected")
	}
	if err := b.Publish(t.Context(), s, message(s, "a", "one")); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("publish: got %v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := b.Consume(ctx, bus.Consumer{Stream: s, Name: "c"}, func(context.Context, bus.Delivery) bus.Verdict { return bus.Done() })
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("consume: got %v, want an error at once", err)
	}
}
