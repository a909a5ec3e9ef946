package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// metadataHost is the node's own, at AWS and Azure.
const metadataHost = "169.254.169.254"

// meaning is what a refusal means. What is empty in it fits all.
type meaning struct {
	// code is in the body, host in the name of the host.
	code, host string
	status     int
	// words say what to do; {subject} is whom the cloud is to let in.
	words string
}

func (m meaning) fits(o outcome) bool {
	return (m.status == 0 || m.status == o.status) && strings.Contains(o.host, m.host) && bytes.Contains(o.body, []byte(m.code))
}

// explain says why a cloud gave no token. Of the error it uses nothing: it may have the token that was sent in it, a signed
// address, or what the server answered.
func (w *witness) explain(ctx context.Context, a *access, err error) string {
	o := w.outcome()
	switch {
	case errors.Is(err, errConfiguration):
		return err.Error()
	case o.host == "", o.host == metadataHost && o.err != nil:
		if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
			return a.cloud.title + " did not give a token in time"
		}
		if a.account != nil {
			return "it gives no token; are its annotations right?"
		}
		return a.cloud.nothing
	case o.err != nil:
		return w.unreachable(o)
	case o.status < http.StatusMultipleChoices:
		return w.incomplete(a.cloud)
	}
	for _, m := range a.cloud.meanings {
		if m.fits(o) {
			return fmt.Sprintf("%s (%s answers %d)", strings.ReplaceAll(m.words, "{subject}", a.cluster()), o.host, o.status)
		}
	}
	return fmt.Sprintf("%s gives no token, and answers %s", o.host, status(o.status))
}

// unreachable says why there is no answer.
func (w *witness) unreachable(o outcome) string {
	peer := w.peer
	peer.Host = o.host
	if said := wire.Explain(peer, o.err); said != nil {
		return said.Error()
	}
	return "cannot reach " + o.host
}

// incomplete is said of an answer that is a success, and none.
func (w *witness) incomplete(c cloud) string {
	host := w.outcome().host
	if host == "" {
		host = c.title
	}
	return host + " answers something that is no token; is it what it should be?"
}

// cluster is whom the cloud is to let in, as it knows him.
func (a *access) cluster() string {
	if a.account == nil {
		return "of source-controller's ServiceAccount"
	}
	return "system:serviceaccount:" + a.account.Namespace + ":" + a.account.Name
}

// status is a status with its standard name, if it has one.
func status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}
