package upstream

import (
	"net/http"
	"strings"
	"sync"
)

// Charts is a web server with Helm repositories: index.yaml and packaged charts, as any file server has them.
type Charts struct {
	*server

	mu    sync.Mutex
	files map[string][]byte
}

// StartCharts starts an empty one; Close ends it.
func StartCharts() (*Charts, error) {
	c := &Charts{files: map[string][]byte{}}
	var err error
	c.server, err = start(http.HandlerFunc(c.serve))
	return c, err
}

// URL is the address of a repository.
func (c *Charts) URL(repository string) string { return "http://" + c.Addr() + "/" + repository }

// Put serves a file of a repository; nil content takes it away.
func (c *Charts) Put(repository, name string, content []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := "/" + repository + "/" + name
	if delete(c.files, path); content != nil {
		c.files[path] = content
	}
}

func (c *Charts) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	content, ok := c.files[r.URL.Path]
	c.mu.Unlock()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "a Helm repository is read", http.StatusMethodNotAllowed)
	case !ok:
		http.NotFound(w, r)
	default:
		if strings.HasSuffix(r.URL.Path, ".yaml") {
			w.Header().Set("Content-Type", "application/yaml")
		}
		_, _ = w.Write(content) // the client may be gone
	}
}
