package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestWriteBudget counts every request to the API server.
func TestWriteBudget(t *testing.T) { // not beside others: an attempt that lasts reports its progress
	const interval = time.Second
	s := newStack(t).start()
	ks := s.kustomization("app", func(ks *kustomizev1.Kustomization) { ks.Spec.Interval.Duration = interval })
	one, two := s.configMap("one", "1"), s.configMap("two", "2")
	s.render(ks, first, one, two)
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.eventually("its Event", func() string { return s.event("Progressing", "/one created") })

	changed := s.configMap("two", "changed")
	for _, tc := range []struct {
		name, reason string
		revision     string
		objects      []*unstructured.Unstructured
		want         []string
	}{
		{
			"revision", "a moved revision is one status patch", second, []*unstructured.Unstructured{one, two},
			[]string{"PATCH kustomizations/status"},
		},
		{
			"content", "changed content is a read, a dry-run and an apply of the changed object, a status, a Sync and an Event", third,
			[]*unstructured.Unstructured{one, changed},
			[]string{
				"GET configmaps", "PATCH configmaps", "PATCH configmaps dry-run",
				"PATCH kustomizations/status", "PATCH syncs", "POST events",
			},
		},
		{
			"gained", "a new id costs one status patch more, before the apply", first,
			[]*unstructured.Unstructured{one, changed, s.configMap("three", "3")},
			[]string{
				"PATCH configmaps", "PATCH configmaps dry-run",
				"PATCH kustomizations/status", "PATCH kustomizations/status", "PATCH syncs", "POST events",
			},
		},
	} {
		s.idle(interval)
		s.render(ks, tc.revision, tc.objects...)
		s.ready(ks, "True", "ReconciliationSucceeded", tc.revision)
		var seen []string
		s.eventually(tc.name+": what is sent to the API server", func() string { // an Event may take its time
			if seen = append(seen, s.requests.take()...); len(seen) < len(tc.want) {
				return strings.Join(seen, ", ")
			}
			return ""
		})
		s.rest(time.Second)
		seen = append(seen, s.requests.take()...)
		slices.Sort(seen)
		if diff := cmp.Diff(tc.want, seen); diff != "" {
			t.Errorf("%s: %s: (-want +got)\n%s", tc.name, tc.reason, diff)
		}
	}
	before := ks.ResourceVersion
	s.idle(interval)
	s.get(ks, "app")
	if ks.ResourceVersion != before {
		t.Error("a pass that finds nothing has written a status")
	}
}
