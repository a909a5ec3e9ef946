// Package fetch gets a sealed content from render-controller: bounded, in time and size, and checked against the digest
// that the Render record names before anything looks inside.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-gitops/sluice/api/redact"
)

// Limits of a request.
const (
	maxBytes = 256 << 20
	timeout  = 60 * time.Second
)

// ErrGone says that the server has no such file: a newer Render record is on its way.
var ErrGone = errors.New("the file is gone")

// Fetcher gets files over HTTP. It is safe for concurrent use; make one with [New].
type Fetcher struct {
	client *http.Client
}

// New returns a fetcher with its own connections. It follows no redirect, and uses no proxy from the environment: the
// files are served inside the cluster.
func New() *Fetcher {
	return &Fetcher{client: &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			MaxIdleConnsPerHost:   8,
			IdleConnTimeout:       90 * time.Second,
			ResponseHeaderTimeout: 15 * time.Second,
			DisableCompression:    true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("redirects are not followed")
		},
	}}
}

// Get returns the file at rawURL, which must have exactly size bytes and the given digest (sha256:<hex>). The error is
// [ErrGone] when the server answers 404.
func (f *Fetcher) Get(ctx context.Context, rawURL, digest string, size int64) ([]byte, error) {
	data, err := f.get(ctx, rawURL, size)
	if err != nil {
		return nil, fmt.Errorf("fetch rendering %s: %w", redact.URL(rawURL), err)
	}
	sum := sha256.Sum256(data)
	if got := "sha256:" + hex.EncodeToString(sum[:]); got != digest {
		return nil, fmt.Errorf("fetch rendering %s: the file is %s, its record says %s", redact.URL(rawURL), got, digest)
	}
	return data, nil
}

func (f *Fetcher) get(ctx context.Context, rawURL string, size int64) ([]byte, error) {
	if size < 0 || size > maxBytes {
		return nil, fmt.Errorf("its record says %d bytes, at most %d are fetched", size, maxBytes)
	}
	if u, err := url.Parse(rawURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("its record has no http or https URL")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, http.NoBody)
	if err != nil {
		return nil, errors.New("its record has no usable URL")
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, errors.New(redact.Error(err))
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, ErrGone
	default:
		return nil, fmt.Errorf("the server answers %d", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, size+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if int64(len(data)) != size {
		return nil, fmt.Errorf("the file does not have the %d bytes that its record says", size)
	}
	return data, nil
}
