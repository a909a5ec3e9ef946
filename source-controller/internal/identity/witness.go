package identity

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	requestTimeout = 10 * time.Second
	// maxAttempts is how often a request is sent when it fails at once; what fails for longer, the controller tries again.
	maxAttempts = 2
	maxAnswer   = 1 << 20  // bytes; a token has some thousand
	maxRefusal  = 16 << 10 // bytes of a refusal that are looked into for its code
)

var errLongAnswer = errors.New("the answer has more than 1 MiB")

// witness is the connection that one token is asked for on. It remembers how the last request ended: what the clouds'
// libraries make of that is sometimes a text, with all that the server sent. It is safe for concurrent use.
type witness struct {
	base http.RoundTripper
	peer wire.Peer

	mu   sync.Mutex
	last outcome
}

// outcome is how a request ended. body is the beginning of a refusal; it is never shown.
type outcome struct {
	host   string // empty: nothing was asked
	status int
	header http.Header
	body   []byte
	err    error
}

// dial returns a connection to a peer, and what to call when it is over.
func (i *Issuer) dial(peer wire.Peer) (*witness, func()) {
	rt, done := i.pool.Transport(peer)
	return &witness{base: rt, peer: peer}, done
}

// client is for the libraries. A token endpoint redirects nobody: what is sent there is for nobody else.
func (w *witness) client() *http.Client {
	return &http.Client{
		Transport: w, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip sends a request, and bounds its answer.
func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	o := outcome{host: r.URL.Host}
	response, err := w.base.RoundTrip(r)
	if err != nil {
		o.err = &url.Error{Op: r.Method, URL: r.URL.Host, Err: err}
		w.remember(o)
		return nil, err
	}
	response.Body = wire.Capped(response.Body, maxAnswer, errLongAnswer)
	o.header = response.Header
	if o.status = response.StatusCode; o.status >= http.StatusMultipleChoices {
		o.body = peek(response)
	}
	w.remember(o)
	return response, nil
}

// peek reads the beginning of a body, which stays whole.
func peek(response *http.Response) []byte {
	start, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	rest := io.Reader(response.Body)
	if err != nil {
		rest = failing{err}
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), response.Body}
	return start
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (w *witness) remember(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = o
}

func (w *witness) outcome() outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}
