package controller

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/store"
	"github.com/sluice-gitops/sluice/sync-controller/internal/target"
)

// patience is how long a test waits for something that has to happen.
const patience = 90 * time.Second

// managerOptions are those of the real process when it watches one namespace, but for listening anywhere.
func managerOptions(t *testing.T, namespace string) ctrl.Options {
	t.Helper()
	args := []string{"--metrics-addr=0", "--health-addr=0", "--watch-all-namespaces=false"}
	cfg, err := config.Parse(args, func(string) string { return namespace })
	if err != nil {
		t.Fatal(err)
	}
	options, err := cfg.Manager()
	if err != nil {
		t.Fatal(err)
	}
	return options
}

// stack is one sync-controller in a namespace of its own, with a fake render-controller beside it.
type stack struct {
	t         *testing.T
	namespace string
	client    client.Client
	storage   string
	identity  *age.X25519Identity
	server    *httptest.Server
	requests  *requests
	announced *announcements
	wrap      func(target.For) target.For
	allowFlux bool
	// killer ends the process at one of its writes; nil for none.
	killer *killer
	// refuse lets requests fail; nil for none.
	refuse *refusal
	// registry has the process' metrics, lines its log.
	registry *prometheus.Registry
	lines    *lines
	// ahead is how far the process' clock is ahead, as a time.Duration.
	ahead atomic.Int64
	stop  func()

	mu    sync.Mutex
	files map[string][]byte
}

func newStack(t *testing.T) *stack {
	t.Helper()
	options := managerOptions(t, "")
	direct, err := client.New(apiServer, client.Options{Scheme: options.Scheme, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sync-"}}
	if err := direct.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	s := &stack{
		t: t, namespace: ns.Name, client: direct, storage: t.TempDir(), identity: identity,
		registry: prometheus.NewRegistry(), lines: &lines{}, requests: &requests{}, announced: &announcements{}, files: make(map[string][]byte),
		allowFlux: true, // others may be running Flux in the same cluster just now
	}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	return s
}

func (s *stack) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, found := s.files[r.URL.Path]
	if !found {
		http.NotFound(w, r)
		return
	}
	_, _ = io.Copy(w, bytes.NewReader(data))
}

// start runs the controller until the test ends or stop is called.
func (s *stack) start() *stack {
	s.t.Helper()
	store, err := store.Open(s.storage)
	if err != nil {
		s.t.Fatal(err)
	}
	counted := rest.CopyConfig(apiServer)
	counted.QPS = -1
	counted.WarningHandlerWithContext = process.Warnings{}
	counted.Wrap(s.requests.wrap)
	if s.killer != nil {
		counted.Wrap(s.killer.wrap)
	}
	if s.refuse != nil {
		counted.Wrap(s.refuse.wrap)
	}
	logger := logr.New(s.lines.beside(testr.NewWithOptions(s.t, testr.Options{}).GetSink()))
	ctx, cancel := context.WithCancel(log.IntoContext(context.Background(), logger))
	skip := true
	options := managerOptions(s.t, s.namespace)
	options.Logger = logger
	options.MapperProvider = func(*rest.Config, *http.Client) (apimeta.RESTMapper, error) { return mapper, nil }
	options.Controller.SkipNameValidation = &skip
	mgr, err := ctrl.NewManager(counted, options)
	if err != nil {
		s.t.Fatal(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchLabels: map[string]string{"test": s.namespace}})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = Build(ctx, mgr, Settings{
		Store: store, Identities: []age.Identity{s.identity}, FingerprintKey: []byte(s.namespace), Announcer: s.announced,
		AllowFlux: s.allowFlux, Dependency: time.Hour, Concurrent: 4, MinRetry: 50 * time.Millisecond, MaxRetry: time.Second,
		Register: s.register, Selector: selector, Jitter: spread(0), Now: s.now, Wrap: s.wrap,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("manager: %v", err)
		}
		_ = store.Close()
	})
	s.t.Cleanup(s.stop)
	return s
}

// register has another process' metrics replaced.
func (s *stack) register(collectors ...prometheus.Collector) error {
	s.registry = prometheus.NewRegistry()
	for _, c := range collectors {
		if err := s.registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// now is the process' clock.
func (s *stack) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// later puts the process' clock forward.
func (s *stack) later(d time.Duration) { s.ahead.Add(int64(d)) }

// requests counts what was sent to the API server, as "PATCH kustomizations/status".
type requests struct {
	mu   sync.Mutex
	seen []string
}

func (r *requests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		r.note(req)
		return next.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (r *requests) note(req *http.Request) {
	line := describe(req)
	if line == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, line)
}

// describe is a request as one line; empty for one that is not about an object in a namespace.
func describe(req *http.Request) string {
	if req.URL.Query().Get("watch") == "true" || strings.HasSuffix(req.URL.Path, "/apis") || !strings.Contains(req.URL.Path, "/namespaces/") {
		return ""
	}
	_, rest, _ := strings.Cut(req.URL.Path, "/namespaces/")
	parts := strings.Split(rest, "/")
	line := req.Method
	if len(parts) > 1 {
		line += " " + parts[1]
	}
	if len(parts) > 3 {
		line += "/" + parts[3]
	}
	if req.URL.Query().Get("dryRun") != "" {
		line += " dry-run"
	}
	if user := req.Header.Get("Impersonate-User"); user != "" {
		line += " as " + user
	}
	return line
}

// take returns what was sent since the last call, sorted.
func (r *requests) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	slices.Sort(seen)
	return seen
}

// announcements collects what goes to the bus.
type announcements struct {
	mu   sync.Mutex
	byID map[string]event.Event
}

func (a *announcements) Announce(id string, ev event.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byID == nil {
		a.byID = make(map[string]event.Event)
	}
	a.byID[id] = ev
}

func (a *announcements) all() []event.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []event.Event
	for _, ev := range a.byID {
		all = append(all, ev)
	}
	return all
}

// kustomization creates one, changed by the given functions first.
func (s *stack) kustomization(name string, change ...func(*kustomizev1.Kustomization)) *kustomizev1.Kustomization {
	s.t.Helper()
	ks := &kustomizev1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: map[string]string{"test": s.namespace}},
		Spec: kustomizev1.KustomizationSpec{
			Interval: metav1.Duration{Duration: time.Hour}, Prune: true, Path: "./",
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "repo"},
		},
	}
	for _, f := range change {
		f(ks)
	}
	if err := s.client.Create(s.t.Context(), ks); err != nil {
		s.t.Fatal(err)
	}
	return ks
}

// render does what render-controller does for a Kustomization: seal, serve, record.
func (s *stack) render(ks *kustomizev1.Kustomization, revision string, objects ...*unstructured.Unstructured) {
	s.t.Helper()
	content := rendering.Content{}
	for _, o := range objects {
		content.Objects = append(content.Objects, rendering.Object{Object: o})
	}
	s.publish(kustomizev1.KustomizationKind, ks, revision, content, nil)
}

func (s *stack) publish(kind string, subject client.Object, revision string, content rendering.Content, release *v1alpha1.ReleaseParameters) {
	s.t.Helper()
	tag, err := rendering.ComputeTag(contentKey(), content)
	if err != nil {
		s.t.Fatal(err)
	}
	r := s.sealed(kind, subject, revision, tag, content)
	r.Release = release
	s.record(r)
}

func contentKey() []byte { return []byte("0123456789abcdef0123456789abcdef") }

// sealed is a ready Render record whose content is served.
func (s *stack) sealed(kind string, subject client.Object, revision string, tag rendering.Tag, content rendering.Content) *v1alpha1.Render {
	s.t.Helper()
	var sealed bytes.Buffer
	if err := rendering.Seal(&sealed, []age.Recipient{s.identity.Recipient()}, subject.GetUID(), tag, content); err != nil {
		s.t.Fatal(err)
	}
	digest := store.Digest(sealed.Bytes())
	path := fmt.Sprintf("/%s/%s/%s.age", subject.GetNamespace(), subject.GetName(), digest)
	s.mu.Lock()
	s.files[path] = sealed.Bytes()
	s.mu.Unlock()
	r := s.unrendered(kind, subject, revision)
	r.Rendering = &v1alpha1.Rendering{
		Tag: string(tag), Digest: digest, URL: s.server.URL + path, Size: int64(sealed.Len()), Objects: int64(len(content.Objects)), Recipients: "x",
	}
	apimeta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: "True", Reason: "Succeeded", Message: "rendered"})
	return r
}

// unrendered is a record without a rendering and without an outcome.
func (s *stack) unrendered(kind string, subject client.Object, revision string) *v1alpha1.Render {
	return &v1alpha1.Render{
		ObjectMeta: metav1.ObjectMeta{Namespace: subject.GetNamespace(), Name: v1alpha1.RecordName(kind, subject.GetName())},
		Subject: v1alpha1.Subject{
			Kind: kind, Name: subject.GetName(), UID: subject.GetUID(), Generation: subject.GetGeneration(),
			RequestedAt: subject.GetAnnotations()[meta.ReconcileRequestAnnotation],
		},
		Source: v1alpha1.Source{Kind: "GitRepository", Namespace: s.namespace, Name: "repo", Revision: revision},
	}
}

// record writes a Render record over whatever is there.
func (s *stack) record(r *v1alpha1.Render) {
	s.t.Helper()
	found := &v1alpha1.Render{}
	err := s.client.Get(s.t.Context(), client.ObjectKeyFromObject(r), found)
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	if err != nil {
		err = s.client.Create(s.t.Context(), r)
	} else {
		r.ResourceVersion = found.ResourceVersion
		err = s.client.Update(s.t.Context(), r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// configMap is an object to apply.
func (s *stack) configMap(name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": s.namespace, "name": name},
		"data":     map[string]any{"key": value},
	}}
}

// eventually waits until check returns no complaint.
func (s *stack) eventually(what string, check func() string) {
	s.t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		complaint := check()
		if complaint == "" {
			return
		}
		select {
		case <-deadline:
			s.t.Fatalf("%s: %s", what, complaint)
		case <-ticker.C:
		}
	}
}

// rest lets some time pass in which nothing is expected to happen.
func (s *stack) rest(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.t.Context().Done():
	}
}

// idle waits until passes at the interval make no request, and forgets those made before.
func (s *stack) idle(interval time.Duration) {
	s.t.Helper()
	s.eventually("passes make no request", func() string {
		s.requests.take()
		s.rest(interval + 500*time.Millisecond)
		return strings.Join(s.requests.take(), ", ")
	})
}

// get reads a subject or record afresh.
func (s *stack) get(o client.Object, name string) client.Object {
	s.t.Helper()
	if err := s.client.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, o); err != nil {
		s.t.Fatal(err)
	}
	return o
}

// ready waits for a Ready condition with the status, reason and a part of the message.
func (s *stack) ready(ks *kustomizev1.Kustomization, status metav1.ConditionStatus, reason, message string) *kustomizev1.Kustomization {
	s.t.Helper()
	s.eventually("Ready of "+ks.Name, func() string {
		s.get(ks, ks.Name)
		c := apimeta.FindStatusCondition(ks.Status.Conditions, meta.ReadyCondition)
		if c == nil {
			return "there is no Ready condition"
		}
		if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, message) {
			return fmt.Sprintf("Ready is %s %s %q, want %s %s %q", c.Status, c.Reason, c.Message, status, reason, message)
		}
		return ""
	})
	return ks
}

// gone waits until an object of that kind is not there.
func (s *stack) gone(o client.Object, name string) {
	s.t.Helper()
	s.eventually(name+" is gone", func() string {
		err := s.client.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, o)
		if client.IgnoreNotFound(err) != nil {
			return err.Error()
		}
		if err == nil {
			return "it is still there"
		}
		return ""
	})
}
