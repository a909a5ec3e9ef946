package bench

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
)

// reporting is a Kustomization that says something of itself.
func reporting(name, status, message string) *unstructured.Unstructured {
	k := kustomization(name)
	k.SetGeneration(2)
	k.Object["status"] = fields{
		"observedGeneration": int64(2), "lastAppliedRevision": "main@sha1:abc",
		"conditions": []any{
			fields{"type": "Reconciling", "status": "True"},
			fields{"type": "Ready", "status": status, "reason": "BuildFailed", "message": message},
		},
	}
	return k
}

func startFollower(t *testing.T, there ...runtime.Object) (*follower, func(*unstructured.Unstructured)) {
	t.Helper()
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{kustomizations: "KustomizationList"}, there...)
	f, err := follow(t.Context(), client, kustomizations)
	if err != nil {
		t.Fatal(err)
	}
	return f, func(o *unstructured.Unstructured) {
		if _, err := client.Resource(kustomizations).Namespace(namespace).Update(t.Context(), o, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFollowerWaits(t *testing.T) {
	f, update := startFollower(t, reporting("a", "True", "ok"), reporting("b", "False", "no such file"))
	begin := time.Now()
	g := f.expect("are Ready", []string{"a", "b"}, ready)
	update(reporting("b", "True", "ok"))
	at, err := f.wait(t.Context(), g, time.Minute, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if at.Before(begin) || at.After(time.Now()) {
		t.Errorf("arrived at %s, outside of the time that was waited", at)
	}
	if len(f.goals) > 0 {
		t.Error("the goal is looked at for ever")
	}
}

func TestFollowerSaysWhoIsMissing(t *testing.T) {
	f, _ := startFollower(t, reporting("a", "True", "ok"), reporting("b", "False", "no such file"))
	g := f.expect("Kustomizations are Ready", []string{"a", "b", "c"}, ready)
	ended, end := context.WithCancel(t.Context())
	end()
	_, err := f.wait(ended, g, time.Minute, t.Logf)
	if err == nil {
		t.Fatal("no error, and two of three are not Ready")
	}
	for _, want := range []string{"1 of 3 Kustomizations are Ready", "b Ready=False BuildFailed: no such file", "c is not there"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestGoal(t *testing.T) {
	ok, not := reporting("a", "True", ""), reporting("a", "False", "")
	now := time.Now()
	tests := map[string]struct {
		reason string
		seen   []*unstructured.Unstructured
		want   bool
	}{
		"Arrives":      {"what becomes Ready is Ready", []*unstructured.Unstructured{not, ok}, true},
		"FallsBack":    {"all must be there at the same time", []*unstructured.Unstructured{ok, not}, false},
		"Goes":         {"what is deleted is not there", []*unstructured.Unstructured{ok, nil}, false},
		"SaysItTwice":  {"one object counts once", []*unstructured.Unstructured{ok, ok}, true},
		"NeverArrives": {"nobody was seen", nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := &goal{reached: ready, done: make(chan struct{}), arrived: map[string]bool{"a": false, "b": false}}
			for _, o := range tc.seen {
				g.see("a", o, now)
			}
			g.see("not named", ok, now)
			g.see("b", ok, now)
			if got := !g.at.IsZero(); got != tc.want {
				t.Errorf("%s: done is %t", tc.reason, got)
			}
		})
	}
}

func TestKustomizationIsThere(t *testing.T) {
	stale := reporting("a", "True", "")
	stale.SetGeneration(3)
	if !ready(reporting("a", "True", "")) || ready(reporting("a", "Unknown", "")) || ready(stale) || ready(kustomization("a")) {
		t.Error("Ready is Ready=True of the generation that is there")
	}
	if !applied("abc")(reporting("a", "False", "")) || applied("bc")(reporting("a", "True", "")) || applied("abc")(kustomization("a")) {
		t.Error("a commit is applied when lastAppliedRevision ends with the whole of it")
	}
}
