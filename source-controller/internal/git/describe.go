package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/sluice-gitops/sluice/source-controller/internal/ssh"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
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
	case s.bounded.exceeded.Load() > 0:
		return fmt.Errorf("%w: %s sends more than %d bytes, the most that is taken at once", ErrTooLarge, s.peer.Host, s.bounded.exceeded.Load())
	case s.bounded.quiet.Load():
		return fmt.Errorf("%w: %s stopped sending for %s", ErrTimeout, s.peer.Host, s.limits.Idle)
	case s.bounded.refused.Load():
		return fmt.Errorf("%w: %s does not give what it is asked for; it may have changed meanwhile", ErrRefused, s.peer.Host)
	case errors.As(err, &local):
		return stored("write what is fetched", err)
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrCorrupt):
		return err // in our own words
	}
	var secured *ssh.Error
	if errors.As(err, &secured) {
		if secured.Login {
			return fmt.Errorf("%w: %w", ErrAuthentication, secured)
		}
		return secured
	}
	var redirect *redirectError
	if errors.As(err, &redirect) {
		return redirect // without the request's URL, which is wrapped around it
	}
	if strings.Contains(err.Error(), "http redirect: ") { // of go-git's own, which come before ours
		return &redirectError{"off https, or in the middle of a fetch; set spec.url to where the repository is now"}
	}
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return s.authentication(err)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fmt.Errorf("%w: %s says there is nothing here, or nothing that may be read from here: check spec.url and %s%s",
			ErrNotFound, s.peer.Host, s.credentials.origin(), s.credentials.Login.Padded.Hint(loginField))
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return fmt.Errorf("%w: push a first commit", ErrEmpty)
	case otherHashes(err):
		return fmt.Errorf("%w: the repository names objects by SHA-256, which is not served yet; use one that git init --object-format=sha1 makes",
			ErrRefused)
	case errors.As(err, new(*pktline.ErrorLine)):
		return fmt.Errorf("%w: %s does not list its references; check spec.url and spec.secretRef", ErrRefused, s.peer.Host)
	}
	return s.network(err)
}

func (s *Session) authentication(err error) error {
	hint := s.credentials.Login.Padded.Hint(loginField)
	if !s.credentials.secret() {
		return fmt.Errorf("%w: %s wants credentials; set spec.secretRef (HTTP %d)", ErrAuthentication, s.peer.Host, statusOf(err))
	}
	if errors.Is(err, transport.ErrAuthorizationFailed) {
		return fmt.Errorf("%w: %s refuses access with %s (HTTP 403)%s", ErrAuthentication, s.peer.Host, s.credentials.origin(), hint)
	}
	if s.credentials.nameOnly() {
		return fmt.Errorf("%w: %s wants more than a user name; set username and password in the Secret of spec.secretRef (HTTP 401)%s",
			ErrAuthentication, s.peer.Host, hint)
	}
	return fmt.Errorf("%w: %s does not accept %s (HTTP 401)%s", ErrAuthentication, s.peer.Host, s.credentials.origin(), hint)
}

func statusOf(err error) int {
	if errors.Is(err, transport.ErrAuthorizationFailed) {
		return http.StatusForbidden
	}
	return http.StatusUnauthorized
}

// network describes what is neither git's nor ours to say.
func (s *Session) network(err error) error {
	var status *githttp.Err
	if errors.As(err, &status) {
		return fmt.Errorf("%s answers with HTTP %d", s.peer.Host, status.StatusCode())
	}
	if said := wire.Explain(s.peer, err); said != nil {
		return said
	}
	switch {
	case s.bounded.cut.Load(), ended(err):
		return fmt.Errorf("%w: %s closed the connection halfway", ErrBroken, s.peer.Host)
	case protocol(err):
		return fmt.Errorf("%s does not answer as a git server does; check spec.url", s.peer.Host)
	}
	return fmt.Errorf("%w: what %s sent cannot be read", ErrBroken, s.peer.Host)
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

// longHash is what is left of a line once a SHA-1 was taken off a SHA-256.
var longHash = regexp.MustCompile("^[0-9a-f]{24} ")

// otherHashes reports whether references are listed that have hashes of another kind than SHA-1.
func otherHashes(err error) bool {
	var data *packp.ErrUnexpectedData
	return errors.As(err, &data) && longHash.Match(data.Data)
}
