package git

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/sluice-gitops/sluice/source-controller/internal/ssh"
)

const (
	// sshUser is who everybody is on the servers of Git hosts.
	sshUser = "git"
	sshPort = 22
	// sshOverhead is what a conversation over SSH may have beside git's: the handshake, and what is around each packet.
	sshOverhead = 1 << 20
)

// overSSH is git-upload-pack on a server, over SSH. A process there lists references and answers one fetch: for another
// fetch another connection is opened.
type overSSH struct {
	options ssh.Options
	command string
	bounded *bounded
	// allowed is how many bytes may still come on the connection, of whatever kind, and idle ends it when none do for too long.
	allowed int64
	idle    *time.Timer

	conn   *ssh.Conn
	cancel context.CancelFunc
	stdin  io.WriteCloser
	stdout io.Reader
	// served is set once the process was asked for a fetch, after which it ends.
	served bool
}

func (c *Client) openSSH(endpoint *transport.Endpoint, user string, cred Credentials, bounded *bounded) *overSSH {
	if user == "" {
		user = sshUser
	}
	port := endpoint.Port
	if port == 0 {
		port = sshPort
	}
	u := &overSSH{bounded: bounded, command: "git-upload-pack " + quote(remotePath(endpoint.Path))}
	u.options = ssh.Options{
		Host: strings.Trim(endpoint.Host, "[]"), Port: strconv.Itoa(port), User: user,
		Login: cred.SSH, Proxy: cred.Proxy.URL, Algorithms: c.SSH, Received: u.receive,
	}
	return u
}

// remotePath is the path as git sends it: what is below somebody's home starts with a tilde.
func remotePath(path string) string {
	if strings.HasPrefix(path, "/~") {
		return path[1:]
	}
	return path
}

// quote makes one word of a text, for the shell of the server, which may be one that sees more in an exclamation mark.
func quote(text string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(text) + "'"
}

// receive counts what comes. It holds the whole connection to a limit: a server can send without end beside what it is asked.
func (u *overSSH) receive(n int) error {
	if u.allowed -= int64(n); u.allowed < 0 {
		u.bounded.exceeded.Store(u.bounded.limits.Advertisement + u.bounded.limits.Pack)
		return ErrTooLarge
	}
	if u.idle != nil {
		u.idle.Reset(u.bounded.limits.Idle)
	}
	return nil
}

// connect starts a process.
func (u *overSSH) connect(ctx context.Context) error {
	u.allowed = sshOverhead + withOverhead(u.bounded.limits.Advertisement) + withOverhead(u.bounded.limits.Pack)
	u.served = false
	u.bounded.begin()
	ctx, cancel := context.WithCancel(ctx)
	u.cancel = cancel
	if u.bounded.limits.Idle > 0 {
		u.idle = time.AfterFunc(u.bounded.limits.Idle, func() {
			u.bounded.quiet.Store(true)
			cancel()
		})
	}
	conn, err := ssh.Dial(ctx, u.options)
	if err != nil {
		return err
	}
	u.conn = conn
	u.stdin, u.stdout, err = conn.Start(u.command)
	return err
}

// AdvertisedReferencesContext implements upload.
func (u *overSSH) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	if err := u.connect(ctx); err != nil {
		return nil, err
	}
	adv := packp.NewAdvRefs()
	err := adv.Decode(u.bounded.advertisement(u.stdout))
	switch {
	case errors.Is(err, packp.ErrEmptyInput):
		return nil, transport.ErrRepositoryNotFound // it has written why to where nobody looks
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && adv.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	return adv, nil
}

func withOverhead(limit int64) int64 { return limit + limit/8 }

// UploadPack implements upload. All that is asked is sent at once, as over HTTP.
func (u *overSSH) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if u.served {
		_ = u.Close() // there is nothing more to come
		if _, err := u.AdvertisedReferencesContext(ctx); err != nil {
			return nil, err
		}
	}
	u.served = true
	u.bounded.begin()
	if err := u.send(req); err != nil {
		return nil, err
	}
	res := packp.NewUploadPackResponse(req)
	return res, res.Decode(io.NopCloser(u.bounded.pack(u.stdout)))
}

func (u *overSSH) send(req *packp.UploadPackRequest) error {
	if err := req.UploadRequest.Encode(u.stdin); err != nil {
		return err
	}
	if err := req.UploadHaves.Encode(u.stdin, false); err != nil {
		return err
	}
	if err := pktline.NewEncoder(u.stdin).EncodeString("done\n"); err != nil {
		return err
	}
	return u.stdin.Close()
}

// Close implements upload. A process that was asked for nothing is told that nothing will be.
func (u *overSSH) Close() error {
	if u.conn != nil {
		var last []byte
		if !u.served {
			last = pktline.FlushPkt
		}
		u.conn.Close(last)
		u.conn = nil
	}
	if u.idle != nil {
		u.idle.Stop() // nobody starts it again now
	}
	if u.cancel != nil {
		u.cancel()
	}
	return nil
}
