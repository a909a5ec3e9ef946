package helmrepo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// Errors of requests that a caller tells apart. What wraps them is a message for the user.
var (
	// ErrAuthentication: the server wants other credentials.
	ErrAuthentication = errors.New("authentication failed")
	// ErrNotFound: the server has no such file, or does not show it.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge: the server sends more than is taken.
	ErrTooLarge = errors.New("too large")
	// ErrDigest: what was sent is not what the index lists.
	ErrDigest = errors.New("wrong digest")
)

// Limits bound what is taken from a server, in bytes.
type Limits struct {
	// Index is how large an index may be, Chart how large a packaged chart.
	Index, Chart int64
}

// Client asks Helm repositories. It is safe for concurrent use.
type Client struct {
	Connections *wire.Pool
	Limits      Limits
}

// Access says where a repository is, and how it is reached.
type Access struct {
	// URL is the repository's: what is before /index.yaml.
	URL string
	// Login goes to the host in URL and no other, unless PassCredentials is set. LoginField names its Secret in messages.
	Login           secret.Login
	LoginField      string
	PassCredentials bool
	// TLS has the authorities and the certificate of our own, which goes where Login goes. TLSField names their Secret.
	TLS      secret.TLS
	TLSField string
}

// Answer is what a server said about its index.
type Answer struct {
	// Unchanged is set when it is the one whose tag was named; nothing else is set then.
	Unchanged bool
	// Digest is sha256:<hex> of its bytes, Size how many they are, Tag the server's own name for it, if it has one.
	Digest string
	Size   int64
	Tag    string
}

// maxTag bounds the name that a server gives to its index, in bytes.
const maxTag = 512

// Index writes the index into a file. tag is what the server called the one that is there already; empty for none.
func (c *Client) Index(ctx context.Context, a Access, tag string, into io.Writer) (Answer, error) {
	base, err := url.Parse(a.URL)
	if err != nil {
		return Answer{}, errors.New("the address is not a URL")
	}
	at := *base
	at.Path, at.RawPath = path.Join("/", base.Path, indexName), ""
	s := c.open(a, base)
	defer s.close()
	res, err := s.get(ctx, &at, indexName, tag)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	if res.StatusCode == http.StatusNotModified {
		return Answer{Unchanged: true}, nil
	}
	tooLarge := fmt.Errorf("%w: the index of %s has more than %d bytes; raise --helm-index-max-size", ErrTooLarge, s.host, c.Limits.Index)
	sum := newSum(into)
	if _, err := io.Copy(sum, wire.Capped(res.Body, c.Limits.Index, tooLarge)); err != nil {
		return Answer{}, s.explain(err, sum.failed)
	}
	answer := Answer{Digest: "sha256:" + sum.hex(), Size: sum.n}
	if found := res.Header.Get("ETag"); len(found) <= maxTag {
		answer.Tag = found
	}
	return answer, nil
}

// Chart writes a packaged chart into a file, and makes sure that it is the one that the index lists. It returns how many bytes
// it has.
func (c *Client) Chart(ctx context.Context, a Access, v *Version, into io.Writer) (int64, error) {
	base, at, err := resolve(a.URL, v)
	if err != nil {
		return 0, err
	}
	s := c.open(a, base)
	defer s.close()
	what := fmt.Sprintf("the chart %s %s", shortened(v.Name), shortened(v.Version))
	res, err := s.get(ctx, at, what, "")
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	tooLarge := fmt.Errorf("%w: %s has more than %d bytes; raise --helm-chart-max-size", ErrTooLarge, what, c.Limits.Chart)
	sum := newSum(into)
	if _, err := io.Copy(sum, wire.Capped(res.Body, c.Limits.Chart, tooLarge)); err != nil {
		return sum.n, s.explain(err, sum.failed)
	}
	if want, ok := v.sum(); ok && want != sum.hex() {
		return sum.n, fmt.Errorf("%w: %s at %s is not the one that the index lists: that has the digest %s, and this %s; "+
			"whoever serves the repository has to write its index anew", ErrDigest, what, s.host, want, sum.hex())
	}
	return sum.n, nil
}

// sum is the digest that an index lists, if it is one of SHA-256. Nobody verifies others.
func (v *Version) sum() (string, bool) {
	digits := strings.ToLower(strings.TrimPrefix(v.Digest, "sha256:"))
	raw, err := hex.DecodeString(digits)
	return digits, err == nil && len(raw) == sha256.Size
}

// resolve finds where a chart is: its first address, which may be relative to the repository's. A query of the repository's
// goes along with a relative one only, as in Helm.
func resolve(repository string, v *Version) (base, at *url.URL, err error) {
	if base, err = url.Parse(repository); err != nil {
		return nil, nil, errors.New("the address is not a URL")
	}
	if len(v.URLs) == 0 {
		return nil, nil, fmt.Errorf("%w: the index lists no address of the chart %s %s", ErrNotFound, shortened(v.Name), shortened(v.Version))
	}
	ref, err := url.Parse(v.URLs[0])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the address of the chart %s %s in the index is not a URL", ErrNotFound, shortened(v.Name), shortened(v.Version))
	}
	folder := *base
	folder.Path, folder.RawPath = strings.TrimRight(base.Path, "/")+"/", ""
	at = folder.ResolveReference(ref)
	if !ref.IsAbs() && ref.Host == "" && at.RawQuery == "" {
		at.RawQuery = base.RawQuery
	}
	if at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return nil, nil, fmt.Errorf("%w: the address of the chart %s %s in the index is neither http nor https",
			ErrNotFound, shortened(v.Name), shortened(v.Version))
	}
	if at.User != nil {
		at.User = nil // whoever writes the index does not say who we are
	}
	return base, at, nil
}

// sum hashes what it writes.
type sum struct {
	into   io.Writer
	hash   hash.Hash
	n      int64
	failed error
}

func newSum(into io.Writer) *sum { return &sum{into: into, hash: sha256.New()} }

func (s *sum) Write(p []byte) (int, error) {
	n, err := s.into.Write(p)
	s.n += int64(n)
	s.hash.Write(p[:n])
	if err != nil {
		s.failed = err
	}
	return n, err
}

func (s *sum) hex() string { return hex.EncodeToString(s.hash.Sum(nil)) }
