package controller_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/repo"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// helmServer is a Helm repository as helm repo index makes it, served over HTTP.
type helmServer struct {
	*httptest.Server

	dir string
	mu  sync.Mutex
	// requests are those that came, "304 index.yaml".
	requests []string
	// user and password are what it wants; nothing if they are empty. answer is asked first; it reports whether it answered.
	user, password string
	answer         func(w http.ResponseWriter, r *http.Request) bool
}

func newHelmServer(t *testing.T) *helmServer {
	t.Helper()
	s := unstartedHelmServer(t)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func unstartedHelmServer(t *testing.T) *helmServer {
	t.Helper()
	s := &helmServer{dir: t.TempDir()}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	return s
}

type recorded struct {
	http.ResponseWriter
	status int
}

func (r *recorded) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (s *helmServer) serve(w http.ResponseWriter, r *http.Request) {
	out := &recorded{w, http.StatusOK}
	s.mu.Lock()
	user, password, answer := s.user, s.password, s.answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, fmt.Sprintf("%d %s", out.status, strings.TrimPrefix(r.URL.Path, "/")))
	}()
	if u, p, _ := r.BasicAuth(); u != user || p != password {
		http.Error(out, "canary of a server", http.StatusUnauthorized)
		return
	}
	if answer != nil && answer(out, r) {
		return
	}
	data, err := os.ReadFile(filepath.Join(s.dir, filepath.Base(r.URL.Path)))
	if err != nil {
		http.Error(out, "canary of a server", http.StatusNotFound)
		return
	}
	out.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
	http.ServeContent(out, r, "", time.Time{}, strings.NewReader(string(data)))
}

// set changes what the server does.
func (s *helmServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// seen are the requests since it was asked last.
func (s *helmServer) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.requests = nil }()
	return strings.Join(s.requests, ", ")
}

// publish packages a chart with some files, and writes the index anew. It returns the package.
func (s *helmServer) publish(t *testing.T, name, version string, files map[string]string) []byte {
	t.Helper()
	data := packageChart(t, s.dir, name, version, files)
	index, err := repo.IndexDirectory(s.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	index.SortEntries()
	if err := index.WriteFile(filepath.Join(s.dir, "index.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	return data
}

// packageChart packages a chart as helm package does.
func packageChart(t *testing.T, dir, name, version string, files map[string]string) []byte {
	t.Helper()
	c := &chart.Chart{Metadata: &chart.Metadata{APIVersion: "v2", Name: name, Version: version}}
	for file, content := range files {
		f := &chart.File{Name: file, Data: []byte(content)}
		switch {
		case strings.HasPrefix(file, "templates/"):
			c.Templates = append(c.Templates, f)
		case file == "values.yaml":
			c.Raw = append(c.Raw, f)
		default:
			c.Files = append(c.Files, f)
		}
	}
	file, err := chartutil.Save(c, dir)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// index is what the server serves as its index.
func (s *helmServer) index(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "index.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (s *helmServer) writeIndex(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "index.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// createRepository creates a HelmRepository; change adapts it first.
func createRepository(t *testing.T, url string, change func(*sourcev1.HelmRepository)) *sourcev1.HelmRepository {
	t.Helper()
	obj := &sourcev1.HelmRepository{
		ObjectMeta: metav1.ObjectMeta{Name: "charts"},
		Spec:       sourcev1.HelmRepositorySpec{URL: url, Interval: metav1.Duration{Duration: time.Hour}},
	}
	if change != nil {
		change(obj)
	}
	if obj.Namespace == "" {
		obj.Namespace = namespace(t)
	}
	if err := shared.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

// createListed creates a HelmChart of a HelmRepository.
func createListed(t *testing.T, source *sourcev1.HelmRepository, name, version string, change func(*sourcev1.HelmChartSpec)) *sourcev1.HelmChart {
	t.Helper()
	obj := &sourcev1.HelmChart{
		ObjectMeta: metav1.ObjectMeta{Namespace: source.Namespace, GenerateName: "chart-"},
		Spec: sourcev1.HelmChartSpec{
			Chart: name, Version: version, Interval: metav1.Duration{Duration: time.Hour},
			SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: sourcev1.HelmRepositoryKind, Name: source.Name},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	if err := shared.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}
