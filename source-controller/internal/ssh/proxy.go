package ssh

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

// maxProxyHeader bounds what an HTTP proxy answers before the server speaks.
const maxProxyHeader = 64 << 10

// connect opens a connection, through a proxy if there is one. An error of a proxy's is a [net.OpError] whose operation is
// "proxyconnect" or "socks connect", as net/http has it.
func connect(ctx context.Context, address string, through *url.URL) (net.Conn, error) {
	switch {
	case through == nil:
		return proxy.Dial(ctx, "tcp", address)
	case through.Scheme == "socks5":
		return socks(ctx, address, through)
	}
	conn, err := tunnel(ctx, address, through)
	if err != nil {
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
	}
	return conn, nil
}

func socks(ctx context.Context, address string, through *url.URL) (net.Conn, error) {
	dialer, err := proxy.FromURL(through, &net.Dialer{})
	if err != nil {
		return nil, err
	}
	with, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("this SOCKS dialer cannot be cancelled")
	}
	return with.DialContext(ctx, "tcp", address)
}

// tunnel asks an HTTP proxy for a connection.
func tunnel(ctx context.Context, address string, through *url.URL) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", withPort(through))
	if err != nil {
		return nil, err
	}
	unbind := context.AfterFunc(ctx, func() { _ = conn.Close() }) // it took too long
	defer unbind()
	opened, err := ask(ctx, conn, address, through)
	if err != nil {
		_ = conn.Close() // it is of no use
		return nil, err
	}
	return opened, nil
}

func ask(ctx context.Context, conn net.Conn, address string, through *url.URL) (net.Conn, error) {
	if through.Scheme == "https" {
		secured := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: through.Hostname()})
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secured
	}
	request := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{"User-Agent": {"sluice"}},
	}
	if user := through.User; user != nil {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
		request.Header["Proxy-Authorization"] = request.Header["Authorization"]
		request.Header.Del("Authorization")
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	// The server speaks first: what is read with the answer may be its greeting.
	bounded := &io.LimitedReader{R: conn, N: maxProxyHeader}
	buffered := bufio.NewReader(bounded)
	response, err := http.ReadResponse(buffered, request) //nolint:bodyclose // what follows is the tunnel
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New("the proxy refuses")
	}
	rest, err := buffered.Peek(buffered.Buffered())
	if err != nil {
		return nil, err
	}
	return &ahead{Conn: conn, rest: rest}, nil
}

// ahead is a connection of which something was read already.
type ahead struct {
	net.Conn
	rest []byte
}

func (a *ahead) Read(p []byte) (int, error) {
	if len(a.rest) > 0 {
		n := copy(p, a.rest)
		a.rest = a.rest[n:]
		return n, nil
	}
	return a.Conn.Read(p)
}

func withPort(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Host
	case u.Scheme == "https":
		return net.JoinHostPort(u.Hostname(), "443")
	}
	return net.JoinHostPort(u.Hostname(), "80")
}
