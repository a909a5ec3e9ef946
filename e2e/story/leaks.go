package story

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// told are the kinds that tell about work: none of them may repeat a secret value.
const told = "gitrepositories,helmcharts,kustomizations,helmreleases,renders,syncs,alerts,providers,events,configmaps"

// minSecret is the length of the shortest value that can be told from chance.
const minSecret = 8

// leaks searches everything the run has said for secret values, plain, in base64 and hashed: every log, every file of the
// controllers and of the message bus, every object that tells about work, every metric and every notification. It fails
// at the first trace: leaks hunter2-the-value
func (s *Session) leaks(ctx context.Context) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) == 0 {
			ts.Fatalf("usage: leaks value …")
		}
		forms := map[string][]byte{}
		for _, value := range args {
			if len(value) < minSecret {
				ts.Fatalf("usage: leaks value … (of at least %d bytes)", minSecret)
			}
			for form, encoded := range formsOf(value) {
				forms[form+" of "+value[:4]+"…"] = encoded
			}
		}
		searched := 0
		look := func(where string, text []byte) {
			searched += len(text)
			for form, value := range forms {
				if bytes.Contains(text, value) {
					ts.Fatalf("%s holds the secret value (%s)", where, form)
				}
			}
		}
		ts.Check(s.lookAtFiles(look))
		ts.Check(s.lookAtObjects(ctx, look))
		ts.Check(s.lookAtMetrics(ctx, look))
		look("notifications", []byte(s.notifications()))
		fmt.Fprintf(s.Out, "searched %d bytes of logs, files, objects, metrics and notifications: no trace\n", searched)
	}
}

func formsOf(value string) map[string][]byte {
	sum := sha256.Sum256([]byte(value))
	forms := map[string][]byte{
		"plain":             []byte(value),
		"URL-escaped":       []byte(url.QueryEscape(value)),
		"SHA-256":           []byte(hex.EncodeToString(sum[:])),
		"SHA-256 in base64": []byte(strings.TrimRight(base64.StdEncoding.EncodeToString(sum[:]), "=")),
	}
	// Inside a longer text base64 may begin at any of three alignments; what is common to all encodings at one of them
	// starts after at most two bytes and ends before the last two.
	for skip := range 3 {
		whole := value[skip:]
		whole = whole[:len(whole)/3*3]
		forms[fmt.Sprintf("base64 at %d", skip)] = []byte(base64.StdEncoding.EncodeToString([]byte(whole)))
	}
	return forms
}

// lookAtFiles reads what the controllers and NATS wrote: logs, artifacts, kept renderings, stream blocks. Source
// artifacts hold the encrypted file; kubeconfigs and mounted credentials are not made from user content.
func (s *Session) lookAtFiles(look func(string, []byte)) error {
	return filepath.WalkDir(filepath.Join(s.World.Dir(), "stack"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // a file that went away between listing and reading holds nothing any more
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		look(path, text)
		return nil
	})
}

func (s *Session) lookAtObjects(ctx context.Context, look func(string, []byte)) error {
	text, err := s.World.Cluster.Kubectl(ctx, "get", told, "--all-namespaces", "--output=json", "--show-managed-fields")
	if err != nil {
		return err
	}
	look("an object, one of "+told+",", []byte(text))
	return nil
}

func (s *Session) lookAtMetrics(ctx context.Context, look func(string, []byte)) error {
	for _, name := range []string{"source-controller", "render-controller", "sync-controller", "notify-controller"} {
		text, err := s.metrics(ctx, name)
		if err != nil {
			return err
		}
		look("metrics of "+name, text)
	}
	return nil
}

// metrics asks until it is answered: another story may be restarting the controller.
func (s *Session) metrics(ctx context.Context, name string) (text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if text, err = s.scrape(ctx, name); err == nil {
			return text, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("metrics of %s: %w", name, err)
		case <-ticker.C:
		}
	}
}

func (s *Session) scrape(ctx context.Context, name string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.World.Stack.MetricsAddress(name)+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(io.LimitReader(response.Body, 16<<20))
}
