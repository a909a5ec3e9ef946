package route_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/route"
)

type (
	spec   = notificationv1beta3.AlertSpec
	source = notificationv1.CrossNamespaceObjectReference
)

func compile(s spec, refs access.Checker) *route.Rule {
	if s.ProviderRef.Name == "" {
		s.ProviderRef = meta.LocalObjectReference{Name: "chat"}
	}
	return route.Compile(&notificationv1beta3.Alert{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "all", UID: "1"}, Spec: s,
	}, refs)
}

func sample() event.Event {
	return event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "apps", Name: "podinfo",
		},
		Severity: "info", Reason: "ReconciliationSucceeded", Message: "applied 3 objects",
	}
}

func TestSelects(t *testing.T) {
	everything := []source{{Kind: "Kustomization", Name: "*"}}
	labels := map[string]string{"team": "a", "tier": "web"}
	tests := map[string]struct {
		reason   string
		spec     spec
		change   func(*event.Event)
		isolated bool
		want     bool
	}{
		"wildcard":        {reason: "* is every name", spec: spec{EventSources: everything}, want: true},
		"by name":         {reason: "the name fits", spec: spec{EventSources: []source{{Kind: "Kustomization", Name: "podinfo"}}}, want: true},
		"other name":      {reason: "another object", spec: spec{EventSources: []source{{Kind: "Kustomization", Name: "other"}}}},
		"no glob":         {reason: "only * itself is special", spec: spec{EventSources: []source{{Kind: "Kustomization", Name: "pod*"}}}},
		"other kind":      {reason: "kinds are exact", spec: spec{EventSources: []source{{Kind: "HelmRelease", Name: "*"}}}},
		"no sources":      {reason: "nothing is asked for", spec: spec{}},
		"second source":   {reason: "one is enough", spec: spec{EventSources: []source{{Kind: "Bucket", Name: "*"}, everything[0]}}, want: true},
		"own namespace":   {reason: "the Alert's is the default", spec: spec{EventSources: everything}, change: func(ev *event.Event) { ev.InvolvedObject.Namespace = "other" }},
		"other namespace": {reason: "named, and allowed", spec: spec{EventSources: []source{{Kind: "Kustomization", Name: "*", Namespace: "other"}}}, change: func(ev *event.Event) { ev.InvolvedObject.Namespace = "other" }, want: true},
		"other namespace, blocked": {
			reason: "named, but not allowed", isolated: true,
			spec:   spec{EventSources: []source{{Kind: "Kustomization", Name: "*", Namespace: "other"}}},
			change: func(ev *event.Event) { ev.InvolvedObject.Namespace = "other" },
		},
		"own namespace, isolated": {reason: "it is no other", isolated: true, spec: spec{EventSources: everything}, want: true},
		"suspended":               {reason: "the user said so", spec: spec{EventSources: everything, Suspend: true}},
		"errors only, info":       {reason: "severity is too low", spec: spec{EventSources: everything, EventSeverity: "error"}},
		"errors only, error": {
			reason: "severity fits", spec: spec{EventSources: everything, EventSeverity: "error"},
			change: func(ev *event.Event) { ev.Severity = "error" }, want: true,
		},
		"info takes errors": {
			reason: "info filters nothing", spec: spec{EventSources: everything, EventSeverity: "info"},
			change: func(ev *event.Event) { ev.Severity = "error" }, want: true,
		},
		"included":       {reason: "one pattern fits", spec: spec{EventSources: everything, InclusionList: []string{"nope", "^applied"}}, want: true},
		"not included":   {reason: "no pattern fits", spec: spec{EventSources: everything, InclusionList: []string{"nope"}}},
		"excluded":       {reason: "one pattern fits", spec: spec{EventSources: everything, ExclusionList: []string{"nope", "objects$"}}},
		"exclusion wins": {reason: "both fit", spec: spec{EventSources: everything, InclusionList: []string{"."}, ExclusionList: []string{"applied"}}},
		"labels":         {reason: "all of them fit", spec: spec{EventSources: []source{{Kind: "Kustomization", Name: "*", MatchLabels: map[string]string{"team": "a"}}}}, want: true},
		"other labels":   {reason: "one does not fit", spec: spec{EventSources: []source{{Kind: "Kustomization", Name: "*", MatchLabels: map[string]string{"team": "a", "tier": "db"}}}}},
		"a name and labels": {
			reason: "both fit", want: true,
			spec: spec{EventSources: []source{{Kind: "Kustomization", Name: "podinfo", MatchLabels: map[string]string{"team": "a"}}}},
		},
		"a name and other labels": {
			reason: "only the name fits",
			spec:   spec{EventSources: []source{{Kind: "Kustomization", Name: "podinfo", MatchLabels: map[string]string{"team": "b"}}}},
		},
		"bad pattern": {
			reason: "what an invalid Alert would have got becomes a dead letter, so it is selected",
			spec:   spec{EventSources: everything, ExclusionList: []string{"("}}, want: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			ev := sample()
			if tc.change != nil {
				tc.change(&ev)
			}
			rule := compile(tc.spec, access.Checker{NoCrossNamespace: tc.isolated})
			got, err := rule.Selects(ev, func() (map[string]string, error) { return labels, nil })
			if err != nil || got != tc.want {
				t.Errorf("%s: got %v, %v", tc.reason, got, err)
			}
		})
	}
}

func TestLabelsAreAskedForOnlyWhenTheyCount(t *testing.T) {
	broken := func() (map[string]string, error) { return nil, errors.New("forbidden") }
	byLabel := source{Kind: "Kustomization", Name: "*", MatchLabels: map[string]string{"a": "b"}}
	rule := compile(spec{EventSources: []source{byLabel, {Kind: "Kustomization", Name: "podinfo"}}}, access.Checker{})
	if ok, err := rule.Selects(sample(), broken); !ok || err != nil {
		t.Errorf("another source decides: got %v, %v", ok, err)
	}
	rule = compile(spec{EventSources: []source{byLabel}}, access.Checker{})
	if ok, err := rule.Selects(sample(), broken); ok || err == nil {
		t.Errorf("nothing is known: got %v, %v", ok, err)
	}
}

func TestProblems(t *testing.T) {
	many := make([]string, route.MaxPatterns+1)
	tests := map[string]struct {
		spec spec
		want string
	}{
		"bad pattern":   {spec{InclusionList: []string{"ok", "("}}, "spec.inclusionList[1]: error parsing regexp"},
		"look-ahead":    {spec{ExclusionList: []string{"(?!x)"}}, "spec.exclusionList[0]: error parsing regexp"},
		"long pattern":  {spec{ExclusionList: []string{strings.Repeat("a", route.MaxPattern+1)}}, "has 1025 bytes"},
		"many patterns": {spec{InclusionList: many}, "has 65 entries"},
		"many sources":  {spec{EventSources: make([]source, route.MaxSources+1)}, "has 513 entries"},
		"bad namespace": {spec{EventSources: []source{{Kind: "Bucket", Name: "x", Namespace: "../y"}}}, "spec.eventSources[0]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := compile(tc.spec, access.Checker{}).Problem; !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	denied := compile(spec{EventSources: []source{{Kind: "Bucket", Name: "*", Namespace: "other"}}}, access.Checker{NoCrossNamespace: true})
	if diff := cmp.Diff([]string{"Bucket/other/*"}, denied.Denied); diff != "" || denied.Problem != "" {
		t.Errorf("denied (-want +got):\n%s\nproblem %q", diff, denied.Problem)
	}
}

func TestNotificationMetadata(t *testing.T) {
	ev := sample()
	ev.Metadata = map[string]string{
		"event.toolkit.fluxcd.io/owner":              "object",
		"event.toolkit.fluxcd.io/cluster":            "object",
		"event.toolkit.fluxcd.io/summary":            "object",
		"kustomize.toolkit.fluxcd.io/revision":       "main@sha1:1",
		"kustomize.toolkit.fluxcd.io/checksum":       "x",
		"kustomize.toolkit.fluxcd.io/digest":         "x",
		"kustomize.toolkit.fluxcd.io/token":          "x",
		"helm.toolkit.fluxcd.io/app-version":         "of another group",
		"unprefixed":                                 "x",
		"kustomize.toolkit.fluxcd.io/originRevision": "main@sha1:0",
	}
	rule := compile(spec{
		EventMetadata: map[string]string{"cluster": "alert", "revision": "alert", "env": "prod"},
		Summary:       "all of production",
	}, access.Checker{})
	got, conflicts := rule.Notification(ev)
	want := map[string]string{
		"owner": "object", "cluster": "alert", "env": "prod", "summary": "all of production",
		"revision": "main@sha1:1", "originRevision": "main@sha1:0",
	}
	if diff := cmp.Diff(want, got.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"cluster", "revision", "summary"}, conflicts); diff != "" {
		t.Errorf("conflicts (-want +got):\n%s", diff)
	}
	if len(ev.Metadata) != 10 {
		t.Error("the event itself was changed")
	}
}

func TestNotificationMetadataIsBounded(t *testing.T) {
	large := map[string]string{strings.Repeat("k", 200): "x"}
	for i := range 1000 {
		large[fmt.Sprintf("a%03d", i)] = strings.Repeat("v", 4096)
	}
	ev := sample()
	ev.Metadata = map[string]string{"kustomize.toolkit.fluxcd.io/revision": "main@sha1:1"}
	got, _ := compile(spec{EventMetadata: large}, access.Checker{}).Notification(ev)
	if len(got.Metadata) != route.MaxMetadata || got.Metadata["revision"] != "main@sha1:1" {
		t.Errorf("%d entries, revision %q", len(got.Metadata), got.Metadata["revision"])
	}
	for key, value := range got.Metadata {
		if len(key) > route.MaxMetadataKey || len(value) > route.MaxMetadataValue {
			t.Errorf("key of %d bytes with a value of %d", len(key), len(value))
		}
	}
}

// FuzzSelects: no Alert and no event makes routing panic, and an Alert without a problem obeys its lists.
func FuzzSelects(f *testing.F) {
	f.Add("Kustomization", "*", "", "a.*b", "(", "applied", "apps", "podinfo", "team", "a")
	f.Add("GitRepository", "x", "other", "", "^$", "", "", "", "", "")
	f.Add("Kustomization", "*", "apps", "(?i)FAILED|(a+)+$", "[[:alpha:]", strings.Repeat("a", 4096), "apps", "podinfo", "", "")
	f.Fuzz(func(t *testing.T, kind, name, namespace, include, exclude, message, evNamespace, evName, label, value string) {
		src := source{Kind: kind, Name: name, Namespace: namespace}
		if label != "" {
			src.MatchLabels = map[string]string{label: value}
		}
		rule := compile(spec{
			EventSources: []source{src}, InclusionList: []string{include}, ExclusionList: []string{exclude},
			EventMetadata: map[string]string{label: value}, Summary: message,
		}, access.Checker{NoCrossNamespace: true})
		ev := sample()
		ev.InvolvedObject.Kind, ev.InvolvedObject.Namespace, ev.InvolvedObject.Name = kind, evNamespace, evName
		ev.Message = message
		ev.Metadata = map[string]string{label: value, "event.toolkit.fluxcd.io/" + label: value}
		selected, err := rule.Selects(ev, func() (map[string]string, error) { return map[string]string{label: value}, nil })
		if err != nil {
			t.Fatal(err)
		}
		if selected && rule.Problem == "" && evNamespace != "apps" {
			t.Errorf("an isolated Alert selected an event of namespace %q", evNamespace)
		}
		rule.Notification(ev)
	})
}
