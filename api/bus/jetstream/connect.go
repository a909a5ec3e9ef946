// Package jetstream is the bus over NATS JetStream, and the only package outside of tests that imports nats.go. Read it in this
// order: [Connect] in connect.go, publish.go with the streams it makes, consume.go, settle.go for what becomes of a verdict
// while the server comes and goes, store.go.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluice-gitops/sluice/api/bus"
)

// Options say which broker to connect to, and as whom.
type Options struct {
	// URL of the NATS server, for example nats://nats.flux-system:4222; several are separated by commas.
	URL string
	// Credentials is a directory with the files username and password (a mounted kubernetes.io/basic-auth Secret), or a
	// file in NATS' .creds format; empty for none. They are read again for each connection, so they may be rotated.
	Credentials string
	// Name of the client: letters, digits, '-' and '_'. Its replies arrive below _INBOX_<name>, which nobody else needs
	// to be allowed to read.
	Name string
	// Log receives what the connection does, and no credential; the zero value discards.
	Log logr.Logger
}

// ackWait is after how long a delivery comes again whose handler neither answers nor is known to be alive. That includes
// what the server was sending when it stopped: it counts as delivered, and nobody but the clock knows that it was not.
const ackWait = 10 * time.Second

const (
	dialTimeout    = 2 * time.Second
	requestTimeout = 2 * time.Second
	reconnectWait  = 500 * time.Millisecond
	pingInterval   = 20 * time.Second
	maxCredential  = 4 << 10 // bytes of a username or password
)

// Connect opens a bus over NATS JetStream. It does not wait for the server: when it cannot be reached within two
// seconds, Connected is false and connecting goes on behind the scenes, for ever. An error says that the options can
// never work. Ending ctx later does not close the bus, so that what was handled last can still be acknowledged: use
// Close.
func Connect(ctx context.Context, o Options) (bus.Bus, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if o.URL == "" {
		return nil, errors.New("connect to NATS: the URL is empty")
	}
	if err := bus.CheckClient(o.Name); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	j := &jetStream{
		log:        o.Log,
		ackWait:    ackWait,
		reconnects: make(chan struct{}, 1),
		ensured:    map[string]*ensuredStream{},
		restored:   make(chan struct{}),
	}
	options, err := j.connectOptions(o)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	j.conn, err = nats.Connect(o.URL, options...)
	if err != nil {
		// the error may repeat the URL, and that a password
		return nil, errors.New("connect to NATS: the URL or the credentials cannot be used: check --nats-url and --nats-creds")
	}
	j.js, err = jetstream.New(j.conn, jetstream.WithDefaultTimeout(requestTimeout))
	if err != nil {
		j.conn.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return j, nil
}

func (j *jetStream) connectOptions(o Options) ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name(o.Name),
		nats.CustomInboxPrefix("_INBOX_" + o.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1), // what cannot be sent now fails now, rather than looking sent
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.IgnoreAuthErrorAbort(), // a password may be rotated
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.ConnectHandler(func(*nats.Conn) { j.log.Info("connected to NATS") }),
		nats.ReconnectHandler(func(*nats.Conn) { j.reconnected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { j.disconnected(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { j.log.Error(err, "NATS reports an error") }),
	}
	if o.Credentials == "" {
		return options, nil
	}
	info, err := os.Stat(o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	if info.IsDir() {
		return append(options, nats.UserInfoHandler(func() (string, string) { return j.userInfo(o.Credentials) })), nil
	}
	return append(options, nats.UserCredentials(o.Credentials)), nil
}

// userInfo reads a mounted Secret. What cannot be read is empty: the server refuses it, and it is read again.
func (j *jetStream) userInfo(dir string) (username, password string) {
	read := func(name string) string {
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil && info.Size() > maxCredential {
			err = fmt.Errorf("%s has %d bytes, more than %d", name, info.Size(), maxCredential)
		}
		if err != nil {
			j.log.Error(err, "NATS credentials cannot be read")
			return ""
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			j.log.Error(err, "NATS credentials cannot be read")
		}
		return strings.TrimRight(string(data), "\r\n")
	}
	return read("username"), read("password")
}

// jetStream is the bus over NATS.
type jetStream struct {
	conn       *nats.Conn
	js         jetstream.JetStream
	log        logr.Logger
	ackWait    time.Duration // after which a delivery that nothing is heard of comes again
	reconnects chan struct{}

	mu       sync.Mutex
	ensured  map[string]*ensuredStream
	restored chan struct{} // closed and replaced when the connection came back
}

func (j *jetStream) Connected() bool { return j.conn.IsConnected() }

func (j *jetStream) Reconnects() <-chan struct{} { return j.reconnects }

func (j *jetStream) Close() { j.conn.Close() }

func (j *jetStream) reconnected() {
	j.log.Info("connected to NATS again")
	j.mu.Lock()
	clear(j.ensured) // the server may have lost what it had
	close(j.restored)
	j.restored = make(chan struct{})
	j.mu.Unlock()
	j.signalReconnect()
}

// signalReconnect tells who publishes that the server may have lost what it had.
func (j *jetStream) signalReconnect() {
	select {
	case j.reconnects <- struct{}{}:
	default: // it is told already
	}
}

func (j *jetStream) disconnected(err error) {
	if err == nil {
		return // closed by us
	}
	j.log.Error(err, "connection to NATS lost")
}
