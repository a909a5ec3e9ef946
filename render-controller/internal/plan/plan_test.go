package plan

import (
	"testing"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// good is the state of a subject whose rendering stands.
func good() *State {
	return &State{
		Exists:  true,
		Subject: v1alpha1.Subject{Kind: "Kustomization", Name: "app", UID: "1", Generation: 2},
		Known:   "hmac-sha256:a",
		Record: &v1alpha1.Render{
			Subject:   v1alpha1.Subject{UID: "1", Generation: 2},
			Rendering: &v1alpha1.Rendering{Tag: "hmac-sha256:a", Digest: "sha256:b", Size: 3, Recipients: "r"},
		},
		Sealed: Sealed{OnDisk: true, Recipients: "r"},
	}
}

func TestDecide(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*State)
		want   Action
		rule   Rule
	}{
		"gone":               {"what was kept goes too", func(s *State) { s.Exists = false }, Forget, Gone},
		"deleting":           {"a record is never made again under a deletion", func(s *State) { s.Deleting, s.Record = true, nil }, Nothing, Deleting},
		"suspended":          {"nothing is done", func(s *State) { s.Suspended, s.Problem = true, &Problem{} }, Nothing, Suspended},
		"moved alongside":    {"others may have changed: they go first", func(s *State) { s.Replayed = true }, Yield, OthersFirst},
		"yielded":            {"it is its turn", func(s *State) { s.Replayed, s.Yielded = true, true }, Keep, Unchanged},
		"asked for":          {"somebody waits for it", func(s *State) { s.Replayed, s.Asked = true, true }, Keep, Unchanged},
		"yielded, failed":    {"what stands in the way is seen when it is its turn", func(s *State) { s.Replayed, s.Yielded, s.Problem = true, true, &Problem{} }, Fail, Hindered},
		"problem":            {"it cannot be rendered", func(s *State) { s.Problem = &Problem{Reason: "ArtifactFailed"} }, Fail, Hindered},
		"stands":             {"same inputs, same file", func(*State) {}, Keep, Unchanged},
		"inputs changed":     {"nothing is known of them", func(s *State) { s.Known = "" }, Render, InputsChanged},
		"other content":      {"the record names something else", func(s *State) { s.Known = "hmac-sha256:b" }, Render, ContentChanged},
		"no record":          {"it was deleted, or is the first", func(s *State) { s.Record = nil }, Render, NeverRendered},
		"failed before":      {"there is no good rendering yet", func(s *State) { s.Record.Rendering = nil }, Render, NeverRendered},
		"another subject":    {"the record is of one of the same name before", func(s *State) { s.Record.Subject.UID = "0" }, Render, NeverRendered},
		"file lost":          {"the volume is new", func(s *State) { s.Sealed.OnDisk = false }, Render, FileLost},
		"other recipients":   {"those who may open it have changed", func(s *State) { s.Sealed.Recipients = "x" }, Render, RecipientsChanged},
		"nobody named":       {"the file that is there still serves", func(s *State) { s.Sealed.Recipients = "" }, Keep, Unchanged},
		"release parameters": {"sync-controller asks for others", func(s *State) { s.Release = &v1alpha1.ReleaseParameters{Revision: 2} }, Render, ReleaseChanged},
		"same parameters": {"they are the same", func(s *State) {
			s.Release = &v1alpha1.ReleaseParameters{Revision: 2}
			s.Record.Release = &v1alpha1.ReleaseParameters{Revision: 2}
		}, Keep, Unchanged},
	}
	rules := map[Rule]bool{}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.change(s)
			if got, want := Decide(s), (Decision{c.want, c.rule}); got != want {
				t.Errorf("%s: %+v, want %+v", c.reason, got, want)
			}
			rules[c.rule] = true
		})
	}
	for _, rule := range []Rule{
		Gone, Deleting, Suspended, OthersFirst, Hindered, Unchanged, InputsChanged, NeverRendered, ContentChanged, FileLost, ReleaseChanged, RecipientsChanged,
	} {
		if !rules[rule] {
			t.Errorf("no case decides by the rule %s", rule)
		}
	}
}

func TestReadLive(t *testing.T) {
	subject := v1alpha1.Subject{UID: "1", RequestedAt: "now"}
	cases := map[string]struct {
		reason  string
		subject v1alpha1.Subject
		record  *v1alpha1.Render
		want    bool
	}{
		"no token":   {"nobody has asked", v1alpha1.Subject{UID: "1"}, nil, false},
		"new token":  {"it was not handed over", subject, &v1alpha1.Render{Subject: v1alpha1.Subject{UID: "1", RequestedAt: "before"}}, true},
		"first":      {"there is no record", subject, nil, true},
		"recreated":  {"the record is of another", subject, &v1alpha1.Render{Subject: v1alpha1.Subject{UID: "0", RequestedAt: "now"}}, true},
		"handled":    {"it was handed over", subject, &v1alpha1.Render{Subject: subject}, false},
		"taken away": {"there is no token any more", v1alpha1.Subject{UID: "1"}, &v1alpha1.Render{Subject: subject}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ReadLive(c.subject, c.record); got != c.want {
				t.Errorf("%s: %v, want %v", c.reason, got, c.want)
			}
		})
	}
}

func TestNextRelease(t *testing.T) {
	first := v1alpha1.ReleaseParameters{Revision: 1, IsInstall: true}
	next := v1alpha1.ReleaseParameters{Revision: 4}
	subject := v1alpha1.Subject{UID: "1"}
	cases := map[string]struct {
		reason string
		sync   *v1alpha1.Sync
		want   v1alpha1.ReleaseParameters
	}{
		"no Sync":        {"nothing is recorded", nil, first},
		"no release":     {"sync-controller has not looked yet", &v1alpha1.Sync{Subject: subject}, first},
		"another's":      {"it is of one of the same name before", &v1alpha1.Sync{Subject: v1alpha1.Subject{UID: "0"}, Release: &v1alpha1.Release{Next: next}}, first},
		"recorded":       {"it asks for these", &v1alpha1.Sync{Subject: subject, Release: &v1alpha1.Release{Next: next}}, next},
		"without number": {"a release counts from one", &v1alpha1.Sync{Subject: subject, Release: &v1alpha1.Release{}}, first},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := NextRelease(subject, c.sync); got != c.want {
				t.Errorf("%s: %+v, want %+v", c.reason, got, c.want)
			}
		})
	}
}
