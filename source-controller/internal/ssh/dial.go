package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

const (
	// version is what servers are told that we are.
	version = "SSH-2.0-sluice"
	// farewell is how long a server has to take note that a conversation ends.
	farewell = 2 * time.Second
	// maxHost is how long the name of a host can be.
	maxHost = 253
)

// Options say which server to connect to, and how.
type Options struct {
	// Host and Port of the server; an IPv6 address has no brackets.
	Host, Port string
	// User to log in as.
	User string
	// Login has the key of the user and those of the servers.
	Login Login
	// Proxy to connect through (http, https, socks5), nil for none but what the environment says.
	Proxy *url.URL
	// Algorithms that may be agreed on.
	Algorithms Algorithms
	// Received is told how many bytes came, of all that comes, and ends the connection with an error. It may be nil.
	Received func(n int) error
}

// Address is where to connect to.
func (o Options) Address() string { return net.JoinHostPort(o.Host, o.Port) }

// shown is the server as messages show it.
func (o Options) shown() string {
	if o.Port == "22" {
		return o.Host
	}
	return o.Address()
}

// Conn is a connection to a server that let us in. It must be closed.
type Conn struct {
	wire   net.Conn
	client *gossh.Client
	stdin  io.WriteCloser
	// unbind takes the end of the context, which closes the connection, off it.
	unbind func() bool
	close  sync.Once
}

// Dial connects and logs in. The context bounds everything that happens on the connection. Errors of the network are returned
// as they are; what SSH itself has to say is an [Error].
func Dial(ctx context.Context, o Options) (*Conn, error) {
	config, err := configure(o)
	if err != nil {
		return nil, err
	}
	wire, err := connect(ctx, o.Address(), o.Proxy)
	if err != nil {
		return nil, err
	}
	metered := &meter{Conn: wire, received: o.Received}
	unbind := context.AfterFunc(ctx, func() { _ = wire.Close() }) // the server took too long: whatever waits for it ends
	raw, channels, requests, err := gossh.NewClientConn(metered, o.Address(), config.ClientConfig)
	if err != nil {
		unbind()
		_ = wire.Close() // it is of no use
		return nil, config.explain(o, err)
	}
	return &Conn{wire: wire, client: gossh.NewClient(raw, channels, requests), unbind: unbind}, nil
}

// config is a client's, which notes what the library does not pass on.
type config struct {
	*gossh.ClientConfig
	// untrusted is why the server's host key was not accepted.
	untrusted error
}

func configure(o Options) (*config, error) {
	if o.Login.IsZero() {
		return nil, loginError("SSH needs a key: set spec.secretRef to a Secret with identity and known_hosts")
	}
	if len(o.Host) > maxHost || !o.Login.hosts.bearable(o.Host) {
		return nil, loginError("known_hosts of spec.secretRef has too many patterns with too many stars: name the hosts instead")
	}
	c := &config{ClientConfig: &gossh.ClientConfig{
		User: o.User, Auth: []gossh.AuthMethod{gossh.PublicKeys(o.Login.signer)}, ClientVersion: version,
		HostKeyAlgorithms: o.Algorithms.HostKeys,
	}}
	c.KeyExchanges = o.Algorithms.KeyExchanges
	if len(c.HostKeyAlgorithms) == 0 {
		c.HostKeyAlgorithms = o.Login.hosts.algorithms(o.Address())
	}
	c.HostKeyCallback = func(address string, remote net.Addr, key gossh.PublicKey) error {
		c.untrusted = o.Login.hosts.verify(address, remote, key)
		return c.untrusted
	}
	return c, nil
}

// explain says why nobody was let in.
func (c *config) explain(o Options, err error) error {
	shown := o.shown()
	var algorithms *gossh.AlgorithmNegotiationError
	switch {
	case c.untrusted != nil:
		return c.untrusted
	case errors.As(err, &algorithms):
		return c.disagreed(shown, algorithms.What)
	case strings.Contains(err.Error(), "unable to authenticate"):
		return loginError("%s does not let the user %s in with identity of spec.secretRef: give the server its public key, or correct it",
			shown, o.User)
	case strings.Contains(err.Error(), "no common public key signature algorithm"):
		return loginError("%s takes RSA keys with SHA-1 only, which is not safe: use an identity of type ed25519 or ecdsa", shown)
	case isNetwork(err):
		return err
	}
	return &Error{text: fmt.Sprintf("%s does not speak SSH as it should; check the host and the port in spec.url", shown)}
}

func (c *config) disagreed(shown, what string) *Error {
	if strings.Contains(what, "host key") {
		return loginError("%s has no host key of a kind that known_hosts of spec.secretRef has for it, or that --ssh-hostkey-algos allows", shown)
	}
	if strings.Contains(what, "key exchange") {
		return &Error{text: fmt.Sprintf("%s offers no key exchange that is safe, or that --ssh-kex-algos allows", shown)}
	}
	return &Error{text: fmt.Sprintf("%s offers no encryption that is safe", shown)}
}

// isNetwork reports whether it is the connection that failed.
func isNetwork(err error) bool {
	var op net.Error
	return errors.As(err, &op) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Start starts a command, once. What it writes to standard error goes nowhere.
func (c *Conn) Start(command string) (stdin io.WriteCloser, stdout io.Reader, err error) {
	session, err := c.client.NewSession()
	if err != nil {
		return nil, nil, c.refused(err)
	}
	if c.stdin, err = session.StdinPipe(); err != nil {
		return nil, nil, c.refused(err)
	}
	if stdout, err = session.StdoutPipe(); err != nil {
		return nil, nil, c.refused(err)
	}
	if err := session.Start(command); err != nil {
		return nil, nil, c.refused(err)
	}
	return c.stdin, stdout, nil
}

func (c *Conn) refused(err error) error {
	if isNetwork(err) {
		return err
	}
	return &Error{text: "the server lets the user in, but starts no command for him; check spec.url"}
}

// Close ends the connection. last is what to write before, so that the command ends in peace; nil if it has.
func (c *Conn) Close(last []byte) {
	c.close.Do(func() {
		_ = c.wire.SetDeadline(time.Now().Add(farewell)) // a connection that has ended needs none
		if last != nil && c.stdin != nil {
			_, _ = c.stdin.Write(last) // if it does not arrive, the server sees the end all the same
		}
		_ = c.client.Close()
		_ = c.wire.Close()
		c.unbind()
		_ = c.client.Wait() // how it ended does not matter, only that nothing of it is left
	})
}

// meter tells how much comes.
type meter struct {
	net.Conn
	received func(int) error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if m.received != nil {
		if tooMuch := m.received(n); tooMuch != nil {
			return 0, tooMuch
		}
	}
	return n, err
}
