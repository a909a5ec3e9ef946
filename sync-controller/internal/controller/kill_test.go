package controller

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// killer ends a process at one of its writes to the API server, as kill -9 would: that write and every later request never
// arrive, and of its storage only what it holds at that moment is left. Events are not counted.
type killer struct {
	// at is the write that is not made any more, from 0 on, counted once the killer is armed; only narrows to writes of a
	// kind. An update that lasts reports its progress, so that there may be more writes than are needed.
	at   int
	only string
	// storage is the process' folder, left is where what it leaves is copied to.
	storage, left string

	mu    sync.Mutex
	armed bool
	seen  int
	// deleted counts the deletions that were made.
	deleted int
	line    string
	err     error
}

// mortal makes the next process die at a write.
func (s *stack) mortal(at int) *killer {
	s.killer = &killer{at: at, storage: s.storage, left: s.t.TempDir()}
	return s.killer
}

// arm starts counting.
func (k *killer) arm() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed = true
}

// died is the write at which the process died; empty while it lives.
func (k *killer) died() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.line
}

func (k *killer) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if k.dead(req) {
			return nil, errors.New("the process is dead")
		}
		return next.RoundTrip(req)
	})
}

func (k *killer) dead(req *http.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	line := describe(req)
	if k.line != "" || !k.armed || line == "" || req.Method == http.MethodGet ||
		strings.Contains(line, "dry-run") || strings.Contains(line, "events") {
		return k.line != ""
	}
	if k.only == "" || k.only == line {
		k.seen++
	}
	if k.seen <= k.at {
		if req.Method == http.MethodDelete {
			k.deleted++
		}
		return false
	}
	k.line = line
	k.err = os.CopyFS(filepath.Join(k.left, "data"), os.DirFS(k.storage))
	return true
}

// reborn runs a new process over what the dead one has left.
func (s *stack) reborn() {
	s.t.Helper()
	s.stop()
	k := s.killer
	if k.err != nil {
		s.t.Fatal(k.err)
	}
	s.killer, s.storage = nil, filepath.Join(k.left, "data")
	s.start()
}

// killedAt brings an app with a changed, a new, an untouched and three dropped objects to the write at which its process
// dies. It says at which, and nothing when there are not as many.
func (s *stack) killedAt(ks *kustomizev1.Kustomization, k *killer) string {
	s.t.Helper()
	s.render(ks, first, s.configMap("stays", "1"), s.configMap("changes", "1"), s.configMap("a", "1"), s.configMap("b", "1"), s.configMap("c", "1"))
	s.ready(ks, "True", "ReconciliationSucceeded", first)
	s.rest(500 * time.Millisecond)
	k.arm()
	s.render(ks, second, s.configMap("stays", "1"), s.configMap("changes", "2"), s.configMap("new", "2"))
	s.eventually("the end of the process, or of its work", func() string {
		if k.died() != "" {
			return ""
		}
		s.get(ks, ks.Name)
		if ks.Status.LastAppliedRevision != second {
			return "neither"
		}
		return ""
	})
	return k.died()
}

// TestKilledAtAnyWrite: wherever a process ends, the next one finishes the work, and tells it as if nothing had happened.
func TestKilledAtAnyWrite(t *testing.T) {
	t.Parallel()
	writes := writesOfAnUpdate(t)
	if writes < 8 || writes > 20 {
		t.Fatalf("an update takes %d writes", writes)
	}
	for at := range writes {
		t.Run(fmt.Sprintf("write %d", at), func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			k := s.mortal(at)
			s.start()
			ks := s.kustomization("app")
			died := s.killedAt(ks, k)
			if died == "" { // it was faster this time, and had no progress to report
				return
			}
			stays := &corev1.ConfigMap{}
			s.get(stays, "stays")
			uid := stays.UID
			s.reborn()
			s.ready(ks, "True", "ReconciliationSucceeded", second)
			for _, name := range []string{"a", "b", "c"} {
				s.gone(&corev1.ConfigMap{}, name)
			}
			s.eventually("the outcome is whole", func() string {
				s.get(ks, "app")
				return s.whole(ks)
			})
			if s.get(stays, "stays"); stays.UID != uid {
				t.Error("an untouched object was deleted and created again")
			}
			s.eventually("the record is whole", func() string { return s.told(ks, k.deleted == 3) })
		})
	}
}

// writesOfAnUpdate is how many writes a process makes that nobody ends.
func writesOfAnUpdate(t *testing.T) int {
	t.Helper()
	s := newStack(t)
	k := s.mortal(1000)
	s.start()
	s.killedAt(s.kustomization("app"), k)
	s.stop()
	return k.seen
}

// whole complains if cluster and status are not as the second revision has them.
func (s *stack) whole(ks *kustomizev1.Kustomization) string {
	for name, want := range map[string]string{"stays": "1", "changes": "2", "new": "2"} {
		if complaint := s.value(name, want); complaint != "" {
			return complaint
		}
	}
	if n := len(ks.Status.Inventory.Entries); n != 3 {
		return fmt.Sprintf("%d ids in the inventory", n)
	}
	if n := len(ks.Status.History); n != 2 {
		return fmt.Sprintf("%d lines of history in the status: %+v", n, ks.Status.History)
	}
	return ""
}

// told complains if the Sync record does not tell of the second revision, once; with all, because all was done before, of every object.
func (s *stack) told(ks *kustomizev1.Kustomization, all bool) string {
	r := &v1alpha1.Sync{}
	s.get(r, "kustomization-"+ks.Name)
	c := r.LastChange
	switch {
	case c == nil || c.Revision != second:
		return fmt.Sprintf("last change %+v", c)
	case all && (c.Created != 1 || c.Configured != 1 || c.Deleted != 3 || c.Unchanged != 1 || len(c.Entries) != 5):
		return fmt.Sprintf("last change %+v", c)
	case len(r.History) != 2 || r.History[0].Revision != second || r.History[0].Outcome != "ReconciliationSucceeded":
		return fmt.Sprintf("history %+v", r.History)
	case r.Subject.UID != ks.UID:
		return "it is about another subject"
	}
	return ""
}

// TestKilledDuringPrune: the rest is pruned later, and nothing that took a name meanwhile.
func TestKilledDuringPrune(t *testing.T) {
	t.Parallel()
	for deleted := range 3 {
		t.Run(fmt.Sprintf("after %d objects", deleted), func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			k := s.mortal(deleted)
			k.only = "DELETE configmaps"
			s.start()
			ks := s.kustomization("app")
			if died := s.killedAt(ks, k); died != "DELETE configmaps" {
				t.Fatalf("died at %q", died)
			}
			list := &corev1.ConfigMapList{}
			left := func() (names []string) {
				if err := s.client.List(t.Context(), list, client.InNamespace(s.namespace), client.HasLabels{"kustomize.toolkit.fluxcd.io/name"}); err != nil {
					t.Fatal(err)
				}
				for _, cm := range list.Items {
					if strings.Contains("a b c", cm.Name) {
						names = append(names, cm.Name)
					}
				}
				return names
			}
			var rest []string
			s.eventually("what was deleted before is gone", func() string {
				if rest = left(); len(rest) != 3-deleted {
					return fmt.Sprintf("left are %v", rest)
				}
				return ""
			})
			s.delete(&corev1.ConfigMap{}, rest[0])
			foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: rest[0]}}
			if err := s.client.Create(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			s.reborn()
			s.ready(ks, "True", "ReconciliationSucceeded", second)
			if names := left(); len(names) > 0 {
				t.Errorf("not pruned: %v", names)
			}
			s.get(foreign, rest[0])
			if complaint := s.whole(ks); complaint != "" {
				t.Error(complaint)
			}
		})
	}
}

// TestRecordRefused: an outcome that the API server does not take at once is told later, whole.
func TestRecordRefused(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"PATCH syncs", "PATCH kustomizations/status"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.refuse = &refusal{line: line, times: 2}
			s.start()
			ks := s.kustomization("app")
			s.render(ks, first, s.configMap("one", "1"))
			s.ready(ks, "True", "ReconciliationSucceeded", first)
			s.eventually("the record tells it", func() string {
				r := &v1alpha1.Sync{}
				if err := s.client.Get(t.Context(), s.name("kustomization-app"), r); err != nil {
					return err.Error()
				}
				if r.LastChange == nil || r.LastChange.Created != 1 || len(r.History) != 1 {
					return fmt.Sprintf("%+v %+v", r.LastChange, r.History)
				}
				return ""
			})
			if s.get(ks, "app"); len(ks.Status.History) != 1 {
				t.Errorf("history in the status: %+v", ks.Status.History)
			}
		})
	}
}

// refusal answers some requests of a kind with an error, as an API server in trouble does.
type refusal struct {
	line  string // see describe
	path  string // or the path, of what is in no namespace
	mu    sync.Mutex
	times int
}

// again refuses so many requests more.
func (r *refusal) again(times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times = times
}

func (r *refusal) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		r.mu.Lock()
		refused := r.times > 0 && (describe(req) == r.line && r.line != "" || req.URL.Path == r.path)
		if refused {
			r.times--
		}
		r.mu.Unlock()
		if refused {
			return nil, errors.New("connection reset by peer")
		}
		return next.RoundTrip(req)
	})
}
