package drift_test

import (
	"testing"

	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
)

func TestClassify(t *testing.T) {
	base := func(change func(*drift.Seen)) *drift.Seen {
		seen := &drift.Seen{
			UID: "1", ResourceVersion: "10", Fingerprint: "f1", Applied: 100,
			Others: []drift.Mark{{Manager: "controller-manager", Subresource: "status", Operation: "Update", At: 150}},
		}
		if change != nil {
			change(seen)
		}
		return seen
	}
	mark := func(seen *drift.Seen, manager, subresource string, at int64) {
		seen.ResourceVersion = "11"
		seen.Others = append(seen.Others, drift.Mark{Manager: manager, Subresource: subresource, Operation: "Update", At: at})
	}
	for name, c := range map[string]struct {
		reason    string
		old, live *drift.Seen
		want      drift.Verdict
		gap       drift.Verdict // when versions in between may have been missed
	}{
		"first sight": {
			reason: "nothing is known of before",
			live:   base(nil),
		},
		"repeated": {
			reason: "the same version again, after a reconnect",
			old:    base(nil), live: base(nil),
		},
		"status": {
			reason: "only a controller reported",
			old:    base(nil),
			live: base(func(s *drift.Seen) {
				s.ResourceVersion = "11"
				s.Others[0].At = 160
			}),
			want: drift.Verdict{Type: drift.StatusChanged},
			gap:  drift.Verdict{Type: drift.StatusChanged},
		},
		"foreign field": {
			reason: "somebody added a field that we do not apply: that is theirs",
			old:    base(nil),
			live:   base(func(s *drift.Seen) { mark(s, "kubectl-edit", "", 160) }),
			want:   drift.Verdict{Type: drift.StatusChanged},
			gap:    drift.Verdict{Type: drift.StatusChanged},
		},
		"scaled": {
			reason: "kubectl scale takes the field from our entry, and our stamp stays",
			old:    base(nil),
			live: base(func(s *drift.Seen) {
				s.Fingerprint = "f2"
				mark(s, "kubectl", "scale", 160)
			}),
			want: drift.Verdict{Type: drift.Changed, Manager: "kubectl"},
			gap:  drift.Verdict{Type: drift.Changed, Manager: "kubectl"},
		},
		"entry removed": {
			reason: "nothing of ours is left",
			old:    base(nil),
			live: base(func(s *drift.Seen) {
				s.Fingerprint, s.Applied = "", 0
				mark(s, "helm", "", 160)
			}),
			want: drift.Verdict{Type: drift.Changed, Manager: "helm"},
			gap:  drift.Verdict{Type: drift.Changed, Manager: "helm"},
		},
		"our own apply": {
			reason: "our entry has a new stamp",
			old:    base(nil),
			live: base(func(s *drift.Seen) {
				s.ResourceVersion, s.Fingerprint, s.Applied = "11", "f2", 160
			}),
			gap: drift.Verdict{Type: drift.Changed},
		},
		"healed within the second": {
			reason: "only our own apply gives a field back to us",
			old: base(func(s *drift.Seen) {
				s.Fingerprint, s.Fields = "f2", 2
				mark(s, "kubectl", "scale", 100)
			}),
			live: base(func(s *drift.Seen) { s.Fields = 3 }),
			gap:  drift.Verdict{Type: drift.Changed},
		},
		"our first apply": {
			reason: "the object was there before we applied it",
			old:    base(func(s *drift.Seen) { s.Fingerprint, s.Applied = "", 0 }),
			live:   base(func(s *drift.Seen) { s.ResourceVersion = "11" }),
		},
		"recreated by us": {
			reason: "another object with our entry",
			old:    base(nil),
			live:   base(func(s *drift.Seen) { s.UID, s.Fingerprint = "2", "f2" }),
		},
		"recreated by somebody": {
			reason: "another object that we never applied",
			old:    base(nil),
			live: base(func(s *drift.Seen) {
				s.UID, s.Fingerprint = "2", ""
				mark(s, "kubectl-create", "", 160)
			}),
			want: drift.Verdict{Type: drift.Changed, Manager: "kubectl-create"},
			gap:  drift.Verdict{Type: drift.Changed, Manager: "kubectl-create"},
		},
		"same second": {
			reason: "the culprit wrote before within the same second, so its mark is not new",
			old:    base(func(s *drift.Seen) { mark(s, "kubectl-edit", "", 160) }),
			live: base(func(s *drift.Seen) {
				s.Fingerprint = "f2"
				mark(s, "kubectl-edit", "", 160)
			}),
			want: drift.Verdict{Type: drift.Changed, Manager: "kubectl-edit"},
			gap:  drift.Verdict{Type: drift.Changed, Manager: "kubectl-edit"},
		},
		"not ours": {
			reason: "the label was copied to an object that we do not apply",
			old:    base(func(s *drift.Seen) { s.Fingerprint = "" }),
			live:   base(func(s *drift.Seen) { s.Fingerprint, s.ResourceVersion = "", "11" }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := drift.Classify(c.old, c.live); got != c.want {
				t.Errorf("%s: got %+v, want %+v", c.reason, got, c.want)
			}
			if got := drift.ClassifyGap(c.old, c.live); got.Type != c.gap.Type {
				t.Errorf("%s: after a gap got %+v, want %+v", c.reason, got, c.gap)
			}
		})
	}
}
