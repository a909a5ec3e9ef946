package git

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// describe turns an error of go-git or of the network into one for the user. Nothing a server wrote gets through.
func (s *Session) describe(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		err = ended // the rest follows from it, and go-git does not always pass it on
	}
	err = plain(err)
	var local *fs.PathError
	switch {
	case s.bounded.exceeded.Load():
		return fmt.Errorf("%w: %s sends more than is taken", ErrTooLarge, s.host)
	case s.bounded.refused.Load():
		return fmt.Errorf("%w: %s does not give what it is asked for; it may have changed meanwhile", ErrRefused, s.host)
	case errors.As(err, &local):
		return stored("write what is fetched", err)
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrCorrupt):
		return err // in our own words
	}
	var redirect *redirectError
	if errors.As(err, &redirect) {
		return redirect // without the request's URL, which is wrapped around it
	}
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return s.authentication(err)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fmt.Errorf("%w: %s says there is nothing here, or nothing these credentials may read: check spec.url and spec.secretRef%s",
			ErrNotFound, s.host, s.credentials.padded.hint("spec.secretRef"))
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return fmt.Errorf("%w: push a first commit", ErrEmpty)
	case isTimeout(err):
		return fmt.Errorf("%w: %s did not answer in time", ErrTimeout, s.host)
	}
	return s.network(err)
}

func (s *Session) authentication(err error) error {
	hint := s.credentials.padded.hint("spec.secretRef")
	if errors.Is(err, transport.ErrAuthorizationFailed) {
		return fmt.Errorf("%w: %s refuses these credentials (HTTP 403)%s", ErrAuthentication, s.host, hint)
	}
	if s.credentials.nameOnly() {
		return fmt.Errorf("%w: %s wants more than a user name; set username and password in the Secret of spec.secretRef (HTTP 401)%s",
			ErrAuthentication, s.host, hint)
	}
	if s.credentials.secret() {
		return fmt.Errorf("%w: %s does not accept the credentials in spec.secretRef (HTTP 401)%s", ErrAuthentication, s.host, hint)
	}
	return fmt.Errorf("%w: %s wants credentials; set spec.secretRef (HTTP 401)", ErrAuthentication, s.host)
}

// network describes what is neither git's nor ours to say.
func (s *Session) network(err error) error {
	var status *githttp.Err
	if errors.As(err, &status) {
		return fmt.Errorf("%s answers with HTTP %d", s.host, status.StatusCode())
	}
	var (
		dns       *net.DNSError
		op        *net.OpError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &op) && s.credentials.proxy != nil && (op.Op == "proxyconnect" || op.Op == "socks connect"):
		return s.proxy(op)
	case errors.As(err, &dns):
		return fmt.Errorf("cannot find the host %s: %s", s.host, unresolved(dns))
	case errors.As(err, &authority):
		return fmt.Errorf("the certificate of %s is signed by an unknown authority; put the authority into ca.crt of spec.secretRef", s.host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %s has expired, or is not valid yet", s.host)
	case errors.As(err, &hostname), errors.As(err, &invalid):
		return fmt.Errorf("the certificate of %s is not valid for it", s.host)
	case errors.As(err, &record):
		return fmt.Errorf("%s does not speak TLS on this port", s.host)
	case errors.As(err, &op):
		return fmt.Errorf("cannot reach %s: %s: %w", s.host, op.Op, op.Err)
	case s.bounded.cut.Load(), ended(err):
		return fmt.Errorf("%w: %s closed the connection halfway", ErrBroken, s.host)
	case protocol(err):
		return fmt.Errorf("%s does not answer as a git server does; check spec.url", s.host)
	}
	var request *url.Error
	switch {
	case errors.As(err, &request) && s.credentials.proxy != nil:
		return s.proxy(err)
	case errors.As(err, &request):
		return fmt.Errorf("cannot reach %s", s.host)
	}
	return fmt.Errorf("%w: what %s sent cannot be read", ErrBroken, s.host)
}

// proxy describes what keeps a proxy from connecting, of which nothing is quoted: an HTTP proxy words its refusals itself.
func (s *Session) proxy(err error) error {
	var dns *net.DNSError
	var call *os.SyscallError
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("cannot reach %s: cannot find the host of the proxy in spec.proxySecretRef: %s", s.host, unresolved(dns))
	case errors.As(err, &call):
		return fmt.Errorf("cannot reach %s: the proxy in spec.proxySecretRef: %w", s.host, call.Err)
	}
	return fmt.Errorf("cannot reach %s: the proxy in spec.proxySecretRef refuses the connection, or the credentials%s",
		s.host, s.credentials.proxyPadded.hint("spec.proxySecretRef"))
}

// unresolved says why a name has no address. The resolver's own words may hold the port that it asked from, which is
// another one each time.
func unresolved(err *net.DNSError) string {
	if err.IsNotFound {
		return "no such host"
	}
	return "the name server does not answer"
}

// plain takes off the wrappers of go-git that do not unwrap.
func plain(err error) error {
	for range 4 {
		var unexpected *plumbing.UnexpectedError
		var permanent *plumbing.PermanentError
		switch {
		case errors.As(err, &unexpected):
			err = unexpected.Err
		case errors.As(err, &permanent):
			err = permanent.Err
		default:
			return err
		}
	}
	return err
}

// ended reports whether the answer stops before its end.
func ended(err error) bool {
	var data *packp.ErrUnexpectedData
	if errors.As(err, &data) && strings.HasSuffix(data.Msg, ": EOF") {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func protocol(err error) bool {
	var data *packp.ErrUnexpectedData
	return errors.As(err, &data) || errors.Is(err, pktline.ErrInvalidPktLen) || errors.Is(err, packp.ErrEmptyInput)
}
