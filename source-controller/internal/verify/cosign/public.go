package cosign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	publicURL = tuf.DefaultMirror
	// refreshAfter is how long what is trusted is taken as it is; as in Sigstore's own clients.
	refreshAfter = 24 * time.Hour
	// keepFor is how long it is used when it cannot be refreshed: as long as Sigstore signs its newest list for.
	keepFor = 7 * 24 * time.Hour
	// retryAfter keeps hundreds of objects from asking a server that is down.
	retryAfter = time.Minute
	// fetchWithin bounds one fetch, which is about ten small requests.
	fetchWithin = 30 * time.Second
)

// PublicRoot is what the public instance of Sigstore trusts, read through TUF, which verifies it from a root that is built in.
// It is kept in memory, for all objects. It is safe for concurrent use.
type PublicRoot struct {
	options PublicOptions
	turn    chan struct{} // held by whoever reads or writes what follows

	trusted        root.TrustedMaterial
	fetched, tried time.Time
	failure        error
}

// PublicOptions say where what is trusted comes from. The zero value is Sigstore's.
type PublicOptions struct {
	// URL is the TUF repository, and Root its first root.json.
	URL  string
	Root []byte
	// Transport reaches it; nil is one with the proxies of the environment.
	Transport http.RoundTripper
	// Clock is the time; nil is the real one.
	Clock func() time.Time
}

// NewPublicRoot returns a root that is fetched when it is first needed.
func NewPublicRoot(o PublicOptions) *PublicRoot {
	if o.URL == "" {
		o.URL, o.Root = publicURL, tuf.DefaultRoot()
	}
	if o.Transport == nil {
		o.Transport, _ = wire.NewPool().Transport(wire.Peer{})
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &PublicRoot{options: o, turn: make(chan struct{}, 1)}
}

// material is what is trusted now. The error is for the user.
func (p *PublicRoot) material(ctx context.Context) (root.TrustedMaterial, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, p.unfetched(ctx.Err())
	}
	now := p.options.Clock()
	if now.Sub(p.fetched) > refreshAfter && now.Sub(p.tried) > retryAfter {
		p.refresh(ctx, now)
	}
	if p.trusted == nil || now.Sub(p.fetched) > keepFor {
		return nil, p.unfetched(p.failure)
	}
	return p.trusted, nil
}

// refresh fetches. That an object's own time ran out says nothing to the others, who try for themselves.
func (p *PublicRoot) refresh(ctx context.Context, now time.Time) {
	within, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	trusted, err := p.fetch(within)
	p.failure = err
	switch {
	case err == nil:
		p.trusted, p.fetched, p.tried = trusted, now, now
	case ctx.Err() == nil:
		p.tried = now
	}
}

func (p *PublicRoot) fetch(ctx context.Context) (root.TrustedMaterial, error) {
	client, err := tuf.New(&tuf.Options{
		Root:              p.options.Root,
		RepositoryBaseURL: p.options.URL,
		Fetcher:           &fetcher{ctx, &http.Client{Transport: p.options.Transport}},
		DisableLocalCache: true,
		CachePath:         "/dev/null", // it is looked into all the same, and nothing can be in it
	})
	if err != nil {
		return nil, err
	}
	return root.GetTrustedRoot(client)
}

// unfetched says that nothing is known, and what to do.
func (p *PublicRoot) unfetched(cause error) error {
	why := errors.New("what it serves cannot be verified")
	if explained := wire.Explain(wire.Peer{Host: "its server"}, cause); explained != nil {
		why = explained
	}
	var status *metadata.ErrDownloadHTTP
	if errors.As(cause, &status) {
		why = fmt.Errorf("it answered with status %d", status.StatusCode)
	}
	return fmt.Errorf("cannot fetch what the public Sigstore instance trusts from %s: %w; allow the connection", p.options.URL, why)
}

// fetcher downloads for TUF, once, within a context, and no more than is expected.
type fetcher struct {
	ctx    context.Context
	client *http.Client
}

func (f *fetcher) DownloadFile(url string, limit int64, _ time.Duration) ([]byte, error) {
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: resp.StatusCode, URL: url}
	}
	return io.ReadAll(wire.Capped(resp.Body, limit, &metadata.ErrDownloadLengthMismatch{Msg: "larger than expected"}))
}
