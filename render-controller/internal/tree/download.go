package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/opencontainers/go-digest"
	_ "github.com/opencontainers/go-digest/blake3" // registers the algorithm
)

// ErrNotFound says the artifact is not at its URL (any more): the source has moved on, or its server has restarted. It
// is worth asking again once the source says where its artifact is now.
var ErrNotFound = errors.New("artifact not found")

// ErrInvalid says that what was fetched is not what the source announced, or not an artifact that can be used. Fetching
// the same URL again cannot help.
var ErrInvalid = errors.New("artifact refused")

// Artifact names a source artifact.
type Artifact struct {
	// URL it is served at.
	URL string
	// Digest of its bytes, <algorithm>:<hex>.
	Digest string
}

// download writes the artifact to file, and compares its digest. The file holds nothing to trust unless the error is nil.
func download(ctx context.Context, client *http.Client, artifact Artifact, limit int64, file *os.File) error {
	want, err := digest.Parse(artifact.Digest)
	if err != nil {
		return fmt.Errorf("%w: digest %.80q: %w", ErrInvalid, artifact.Digest, err)
	}
	body, err := get(ctx, client, artifact.URL)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	verifier := want.Verifier()
	size, err := io.Copy(io.MultiWriter(file, verifier), io.LimitReader(body, limit+1))
	if err != nil {
		return fmt.Errorf("download was cut short after %d bytes: %w", size, err)
	}
	if size > limit {
		return fmt.Errorf("%w: it has more than the %d bytes that are allowed", ErrInvalid, limit)
	}
	if !verifier.Verified() { // nothing of what was there is told: who wrote the URL may not be one who may read it
		return fmt.Errorf("%w: what is at its URL does not have the digest %s that the source announces", ErrInvalid, want)
	}
	return nil
}

func get(ctx context.Context, client *http.Client, url string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil || request.URL.Host == "" || (request.URL.Scheme != "http" && request.URL.Scheme != "https") {
		return nil, fmt.Errorf("%w: its URL is not an HTTP URL", ErrInvalid)
	}
	if request.URL.User != nil {
		return nil, fmt.Errorf("%w: its URL holds a user name or a password, and no artifact is fetched with credentials", ErrInvalid)
	}
	response, err := client.Do(request)
	if errors.Is(err, errMachine) {
		return nil, errMachine
	}
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	_ = response.Body.Close()
	if response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusGone {
		return nil, fmt.Errorf("%w: the server answered %s", ErrNotFound, response.Status)
	}
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return nil, fmt.Errorf("%w: the server answered %s, and redirects are not followed", ErrInvalid, response.Status)
	}
	return nil, fmt.Errorf("download: the server answered %s", response.Status)
}
