package fileserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/api/fileserver"
)

// folder has one file to be served, and beside it what must never be.
func folder(t *testing.T) *os.Root {
	t.Helper()
	top := t.TempDir()
	outside := filepath.Join(top, "outside")
	for name, content := range map[string]string{
		"files/gitrepository/a/b/1.tar.gz":   "artifact",
		"files/gitrepository/a/b/c/deep":     "canary",
		"files/gitrepository/a/b/.writing-1": "canary",
		"files/secret":                       "canary",
		"outside":                            "canary",
	} {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(top, "files/gitrepository/a/b/escape")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(top, "files"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestHandler(t *testing.T) {
	handler := fileserver.Handler(folder(t).Open)
	for name, tc := range map[string]struct {
		reason, method, path string
		status               int
		body                 string
	}{
		"file":         {"it is there", http.MethodGet, "/gitrepository/a/b/1.tar.gz", http.StatusOK, "artifact"},
		"head":         {"its size is asked for", http.MethodHead, "/gitrepository/a/b/1.tar.gz", http.StatusOK, ""},
		"absent":       {"it is not there", http.MethodGet, "/gitrepository/a/b/2.tar.gz", http.StatusNotFound, ""},
		"root":         {"there are no listings", http.MethodGet, "/", http.StatusNotFound, ""},
		"folder":       {"there are no listings", http.MethodGet, "/gitrepository/a/b/", http.StatusNotFound, ""},
		"short folder": {"there are no listings", http.MethodGet, "/gitrepository/a/b", http.StatusNotFound, ""},
		"four deep":    {"a folder is no file", http.MethodGet, "/gitrepository/a/b/c", http.StatusNotFound, ""},
		"too deep":     {"no file lies there", http.MethodGet, "/gitrepository/a/b/c/deep", http.StatusNotFound, ""},
		"top file":     {"no file lies there", http.MethodGet, "/secret", http.StatusNotFound, ""},
		"up":           {"a path that climbs", http.MethodGet, "/gitrepository/a/../../secret", http.StatusNotFound, ""},
		"up to four":   {"a path that climbs to the right length", http.MethodGet, "/a/../../outside", http.StatusNotFound, ""},
		"link outside": {"a link is no way out", http.MethodGet, "/gitrepository/a/b/escape", http.StatusNotFound, ""},
		"hidden":       {"a file that is being written", http.MethodGet, "/gitrepository/a/b/.writing-1", http.StatusNotFound, ""},
		"post":         {"nothing is written over HTTP", http.MethodPost, "/gitrepository/a/b/1.tar.gz", http.StatusMethodNotAllowed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequest(tc.method, "http://files/", http.NoBody)
			request.URL.Path = tc.path // as it is: NewRequest refuses some
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if answer.Code != tc.status || strings.Contains(answer.Body.String(), "canary") || (tc.body != "" && answer.Body.String() != tc.body) {
				t.Errorf("%s: %d %q, want %d %q", tc.reason, answer.Code, answer.Body, tc.status, tc.body)
			}
		})
	}
}

func TestURL(t *testing.T) {
	for advertised, want := range map[string]string{
		"source.flux-system.svc":  "http://source.flux-system.svc/k/a/b/f",
		"127.0.0.1:9090":          "http://127.0.0.1:9090/k/a/b/f",
		"https://files.internal/": "https://files.internal/k/a/b/f",
		"http://proxy/below":      "http://proxy/below/k/a/b/f",
	} {
		if got := fileserver.URL(advertised, "k/a/b/f"); got != want {
			t.Errorf("%s: %s, want %s", advertised, got, want)
		}
	}
}

// TestServer: a server is ready while it serves, and ends with its context, in peace.
func TestServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	server := &fileserver.Server{Files: "artifacts", Address: address, Open: folder(t).Open}
	if err := server.Ready(nil); err == nil || !strings.Contains(err.Error(), "artifacts") {
		t.Errorf("ready before it serves: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	body := ""
	for deadline := time.Now().Add(time.Minute); body == "" && time.Now().Before(deadline); {
		body = get(ctx, t, fileserver.URL(address, "gitrepository/a/b/1.tar.gz"))
	}
	if err := server.Ready(nil); err != nil || body != "artifact" {
		t.Errorf("got %q, ready: %v", body, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if err := server.Ready(nil); err == nil {
		t.Error("still ready")
	}
}

func TestServerCannotListen(t *testing.T) {
	server := &fileserver.Server{Files: "artifacts", Address: "127.0.0.1:no-port"}
	if err := server.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "serve artifacts") {
		t.Errorf("got %v", err)
	}
}

// get returns the body, or nothing when nobody answers yet.
func get(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Timeout: time.Minute}).Do(request)
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
