package event

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var update = flag.Bool("update", false, "write the golden files")

func fullEvent() Event {
	return Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization",
			Namespace: "apps", Name: "web.frontend", UID: "2f1c9a52-0d7c-4f39-8f5a-6a4f6c0d9e11", ResourceVersion: "42",
		},
		Severity:            "info",
		Timestamp:           metav1.Time{Time: time.Date(2026, 11, 21, 10, 0, 0, 0, time.FixedZone("CET", 3600))},
		Message:             "Deployment/apps/web configured <&>",
		Reason:              "ReconciliationSucceeded",
		Metadata:            map[string]string{"kustomize.toolkit.fluxcd.io/revision": "main@sha1:0123456789abcdef0123456789abcdef01234567"},
		ReportingController: "kustomize-controller",
		ReportingInstance:   "sync-controller-0",
	}
}

func TestWireFormIsGolden(t *testing.T) {
	minimal := Event{
		InvolvedObject:      corev1.ObjectReference{Kind: "Alert", Name: "a"},
		Reason:              "Failed",
		ReportingController: "notify-controller",
	}
	for name, ev := range map[string]Event{"full": fullEvent(), "minimal": minimal} {
		t.Run(name, func(t *testing.T) {
			id := ID(ev.InvolvedObject.UID, ev.Timestamp.Time, ev.Reason, ev.Metadata["kustomize.toolkit.fluxcd.io/revision"])
			env, err := Wrap(id, ev)
			if err != nil {
				t.Fatal(err)
			}
			got := indent(t, map[string]any{"subject": env.Subject, "id": env.ID, "header": env.Header, "data": json.RawMessage(env.Data)})
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("the wire form has changed; consumers outside rely on it (-want +got):\n%s", diff)
			}
			back, err := Unwrap(env)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Wrap(id, back); err != nil || cmp.Diff(env, again) != "" {
				t.Errorf("the way back changes the event: %v\n%s", err, cmp.Diff(env, again))
			}
		})
	}
}

func indent(t *testing.T, v any) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWrapRefuses(t *testing.T) {
	tests := map[string]func(id *string, ev *Event){
		"no id":         func(id *string, _ *Event) { *id = "" },
		"no kind":       func(_ *string, ev *Event) { ev.InvolvedObject.Kind = "" },
		"no name":       func(_ *string, ev *Event) { ev.InvolvedObject.Name = "" },
		"no reason":     func(_ *string, ev *Event) { ev.Reason = "" },
		"no controller": func(_ *string, ev *Event) { ev.ReportingController = "" },
		"too large":     func(_ *string, ev *Event) { ev.Metadata = map[string]string{"x": strings.Repeat("x", MaxData)} },
	}
	for name, change := range tests {
		id, ev := "id", fullEvent()
		change(&id, &ev)
		if _, err := Wrap(id, ev); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	ev := fullEvent()
	ev.Message = strings.Repeat("ü", MaxMessage)
	env, err := Wrap("id", ev)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Unwrap(env); err != nil || len(back.Message) > MaxMessage || !strings.HasSuffix(back.Message, "ü…") {
		t.Errorf("a long message has %d bytes afterwards, %v", len(back.Message), err)
	}
}

func TestUnwrapRefuses(t *testing.T) {
	header := map[string]string{HeaderSpecVersion: SpecVersion}
	tests := map[string]Envelope{
		"no header":     {Data: []byte(`{}`)},
		"other version": {Data: []byte(`{}`), Header: map[string]string{HeaderSpecVersion: "0.3"}},
		"not JSON":      {Data: []byte(`{`), Header: header},
		"no object":     {Data: []byte(`{"reason":"x"}`), Header: header},
		"too large":     {Data: bytes.Repeat([]byte(" "), MaxData+1), Header: header},
	}
	for name, env := range tests {
		if _, err := Unwrap(env); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestID(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	base := ID("uid", at, "reason", "revision")
	if again := ID("uid", at.In(time.FixedZone("x", 7200)).Add(time.Millisecond), "reason", "revision"); again != base {
		t.Error("the same second in another zone is another transition")
	}
	for name, other := range map[string]string{
		"uid": ID("uie", at, "reason", "revision"), "time": ID("uid", at.Add(time.Second), "reason", "revision"),
		"reason": ID("uid", at, "reasons", "revision"), "revision": ID("uid", at, "reason", ""),
		"boundary": ID("uid", at, "reasonr", "evision"),
	} {
		if other == base {
			t.Errorf("another %s is the same transition", name)
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	env, err := Wrap("id", fullEvent())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(env.Data)
	f.Add([]byte(`{"involvedObject":{"kind":"x","name":"y"},"reason":"z","timestamp":"no time"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ev, err := Unwrap(Envelope{Data: data, Header: map[string]string{HeaderSpecVersion: SpecVersion}})
		if err == nil && (ev.Reason == "" || ev.InvolvedObject.Name == "") {
			t.Error("an event without a reason or a name is accepted")
		}
	})
}

func TestSubject(t *testing.T) {
	tests := map[string]struct {
		address Address
		want    string
	}{
		"plain":   {Address{"sync-controller", "Kustomization", "ns", "name", "Succeeded"}, "sluice.events.sync-controller.Kustomization.ns.name.Succeeded"},
		"dots":    {Address{"c", "K", "ns", "a.b", "R"}, "sluice.events.c.K.ns.a%2Eb.R"},
		"empty":   {Address{"c", "K", "", "a", "R"}, "sluice.events.c.K.%.a.R"},
		"percent": {Address{"c", "K", "%", "a", "R"}, "sluice.events.c.K.%25.a.R"},
		"hostile": {Address{"c", "K", "n", "*", "> \r\n"}, "sluice.events.c.K.n.%2A.%3E%20%0D%0A"},
	}
	for name, test := range tests {
		a := test.address
		if got := Subject(a.Controller, a.Kind, a.Namespace, a.Name, a.Reason); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		if back, err := ParseSubject(test.want); err != nil || back != a {
			t.Errorf("%s: parsed as %+v, %v", name, back, err)
		}
	}
	for _, bad := range []string{
		"", "sluice.events", "sluice.events.a.b.c.d", "sluice.events.a.b.c.d.e.f", "other.a.b.c.d.e",
		"sluice.events.a.b.c.d.", "sluice.events.a.b.c.d.%41", "sluice.events.a.b.c.d.%2e", "sluice.events.a.b.c.d.%2", "sluice.events.a.b.c.d.ä",
	} {
		if a, err := ParseSubject(bad); err == nil {
			t.Errorf("%q is parsed as %+v", bad, a)
		}
	}
}

func FuzzSubject(f *testing.F) {
	f.Add("sync-controller", "Kustomization", "ns", "a.b", "Succeeded")
	f.Add("", "%", "*", ">", "\x00ä ")
	f.Fuzz(func(t *testing.T, controller, kind, namespace, name, reason string) {
		subject := Subject(controller, kind, namespace, name, reason)
		for token := range strings.SplitSeq(subject, ".") {
			if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == '*' || r == '>' || r >= 0x7f }) {
				t.Fatalf("%q is no legal subject", subject)
			}
		}
		want := Address{controller, kind, namespace, name, reason}
		if got, err := ParseSubject(subject); err != nil || got != want {
			t.Errorf("%q is parsed as %+v, %v, want %+v", subject, got, err, want)
		}
	})
}

func FuzzParseSubject(f *testing.F) {
	f.Add("sluice.events.a.b.%.a%2Eb.e")
	f.Fuzz(func(t *testing.T, subject string) {
		a, err := ParseSubject(subject)
		if err != nil {
			return
		}
		if again := Subject(a.Controller, a.Kind, a.Namespace, a.Name, a.Reason); again != subject {
			t.Errorf("%q and %q are the same address", subject, again)
		}
	})
}

func FuzzShorten(f *testing.F) {
	f.Add("grün und länger", 8)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < len("…") || limit > 1<<20 {
			return
		}
		got := Shorten(s, limit)
		if len(got) > limit || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q cut to %d is %q", s, limit, got)
		}
	})
}
