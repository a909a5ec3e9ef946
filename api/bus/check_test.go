package bus

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestMatches(t *testing.T) {
	tests := map[string]struct {
		reason           string
		pattern, subject string
		want             bool
	}{
		"the same":                  {reason: "a subject is a pattern", pattern: "a.b", subject: "a.b", want: true},
		"another":                   {reason: "tokens are compared whole", pattern: "a.b", subject: "a.bc"},
		"one token":                 {reason: "'*' is one token", pattern: "a.*.c", subject: "a.b.c", want: true},
		"two tokens":                {reason: "'*' is not two tokens", pattern: "a.*", subject: "a.b.c"},
		"the rest":                  {reason: "a last '>' is one token or more", pattern: "a.>", subject: "a.b.c", want: true},
		"no rest":                   {reason: "'>' is not nothing", pattern: "a.>", subject: "a"},
		"a rest in the middle":      {reason: "'>' means the rest only as the last token", pattern: "a.>.c", subject: "a.b.c"},
		"a subject that goes on":    {reason: "a pattern is not a prefix", pattern: "a", subject: "a.b"},
		"a subject that ends early": {reason: "every token has to be there", pattern: "a.b", subject: "a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Matches(tc.pattern, tc.subject); got != tc.want {
				t.Errorf("%s: got %v", tc.reason, got)
			}
		})
	}
}

func TestDeduplicationWindow(t *testing.T) {
	tests := map[string]struct {
		reason string
		stream Stream
		want   time.Duration
	}{
		"not set":                  {reason: "there is a default", want: 2 * time.Minute},
		"set":                      {reason: "it is taken as it is", stream: Stream{Window: time.Hour}, want: time.Hour},
		"longer than messages":     {reason: "a server refuses it", stream: Stream{Window: time.Hour, MaxAge: time.Minute}, want: time.Minute},
		"a default that is longer": {reason: "so it is for the default", stream: Stream{MaxAge: time.Second}, want: time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.stream.DeduplicationWindow(); got != tc.want {
				t.Errorf("%s: got %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

func TestChecks(t *testing.T) {
	stream := Stream{Name: "S", Subjects: []string{"a.>"}}
	message := func(change func(m *Message)) error {
		m := Message{Subject: "a.b", Data: make([]byte, MaxData)}
		change(&m)
		return CheckMessage(stream, m)
	}
	tests := map[string]struct {
		got  error
		want string // in the error; empty for none
	}{
		"a message as large as may be": {got: message(func(*Message) {})},
		"a message that is larger":     {got: message(func(m *Message) { m.Data = append(m.Data, 0) }), want: "65537 bytes are more than 65536"},
		"a wildcard to publish on":     {got: message(func(m *Message) { m.Subject = "a.*" }), want: `subject "a.*" is not legal`},
		"another stream's subject":     {got: message(func(m *Message) { m.Subject = "b.a" }), want: "subject b.a is not one of the stream's"},
		"an id of two lines":           {got: message(func(m *Message) { m.ID = "a\nb" }), want: "the id has a line break"},
		"a header with a colon":        {got: message(func(m *Message) { m.Header = map[string]string{"a:b": ""} }), want: `header "a:b" is not legal`},
		"headers that are too much":    {got: message(func(m *Message) { m.ID = strings.Repeat("x", MaxHeaders+1) }), want: "headers of 8193 bytes"},
		"a consumer":                   {got: CheckConsumer(Consumer{Stream: stream, Name: "a-b_C"})},
		"a consumer with a dot":        {got: CheckConsumer(Consumer{Stream: stream, Name: "a.b"}), want: `consumer name "a.b"`},
		"a stream without subjects":    {got: CheckConsumer(Consumer{Stream: Stream{Name: "S"}, Name: "c"}), want: "stream S has no subjects"},
		"a store without a name":       {got: CheckStore(""), want: `store name ""`},
		"a key with single dots":       {got: CheckKey("a.b-c_D")},
		"a key with two dots":          {got: CheckKey("a..b"), want: `key "a..b"`},
		"a value that is too large":    {got: CheckEntry("a", make([]byte, MaxValue+1)), want: "put a: 524289 bytes are more than 524288"},
		"a client with a space":        {got: CheckClient("a b"), want: `client name "a b"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			switch {
			case tc.want == "" && tc.got != nil:
				t.Errorf("refused: %v", tc.got)
			case tc.want != "" && tc.got == nil:
				t.Errorf("accepted, want an error with %q", tc.want)
			case tc.want != "" && !strings.Contains(tc.got.Error(), tc.want):
				t.Errorf("got %q, want %q in it", tc.got, tc.want)
			}
		})
	}
}

func TestHandlerThatPanics(t *testing.T) {
	panics := Handler(func(context.Context, Delivery) Verdict { panic("a secret word") })
	if got := panics.Call(t.Context(), Delivery{}); got != Retry(30*time.Second) {
		t.Errorf("got %+v, want the message again in 30s", got)
	}
}
