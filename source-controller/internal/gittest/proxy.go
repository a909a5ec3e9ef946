package gittest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy connects to whatever it is asked for.
type Proxy struct {
	// Address is its URL, without a login.
	Address string
	// CA is the authority of its certificate in PEM, if it has one.
	CA []byte

	login string
	used  atomic.Int64
	mu    sync.Mutex
	hosts map[string]string
}

// Route makes the proxy connect to an address when it is asked for a host with a port.
func (p *Proxy) Route(host, address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts[host] = address
}

// dial connects to where an address is.
func (p *Proxy) dial(ctx context.Context, address string) (net.Conn, error) {
	p.mu.Lock()
	if to := p.hosts[address]; to != "" {
		address = to
	}
	p.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// Used is how many connections it made since the last call.
func (p *Proxy) Used() int64 { return p.used.Swap(0) }

// NewProxy starts a proxy that ends with the test, for the scheme http, https or socks5. It wants a user name and a password
// unless both are empty.
func NewProxy(t testing.TB, scheme, username, password string) *Proxy {
	t.Helper()
	p := &Proxy{hosts: map[string]string{}}
	if username != "" {
		p.login = username + ":" + password
	}
	switch scheme {
	case "http":
		server := httptest.NewServer(p)
		t.Cleanup(server.Close)
		p.Address = server.URL
	case "https":
		server := httptest.NewTLSServer(p)
		t.Cleanup(server.Close)
		p.Address = server.URL
		p.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	default:
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		p.Address = scheme + "://" + listener.Addr().String()
		go p.socks(listener)
	}
	return p
}

// ServeHTTP implements http.Handler: it serves CONNECT.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.login))
	if p.login != "" && r.Header.Get("Proxy-Authorization") != want {
		http.Error(w, "you sent "+r.Header.Get("Proxy-Authorization"), http.StatusProxyAuthRequired)
		return
	}
	hijacker, ok := w.(http.Hijacker)
	if r.Method != http.MethodConnect || !ok {
		http.Error(w, "only CONNECT is served", http.StatusMethodNotAllowed)
		return
	}
	upstream, err := p.dial(r.Context(), r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		_ = upstream.Close() // nobody is there for it
		return
	}
	p.used.Add(1)
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err == nil {
		join(conn, upstream)
	}
}

// join passes on what comes from either side, until one of them ends.
func join(a, b net.Conn) {
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1]) // an end is an end
			ended <- struct{}{}
		}()
	}
	<-ended
	_, _ = a.Close(), b.Close()
	<-ended
}

func (p *Proxy) socks(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			if upstream := p.greet(conn); upstream != nil {
				p.used.Add(1)
				join(conn, upstream)
			}
			_ = conn.Close()
		}()
	}
}

// greet speaks SOCKS (RFC 1928, 1929), and returns what is to be connected to; nil if the client is refused.
func (p *Proxy) greet(conn net.Conn) net.Conn {
	method := byte(0)
	if p.login != "" {
		method = 2
	}
	offered, ok := exactly(conn, 2)
	if !ok {
		return nil
	}
	methods, ok := exactly(conn, int(offered[1]))
	if !ok || !bytes.Contains(methods, []byte{method}) {
		_, _ = conn.Write([]byte{5, 0xff}) // no method suits
		return nil
	}
	_, _ = conn.Write([]byte{5, method})
	if method == 2 && !p.trusts(conn) {
		return nil
	}
	header, ok := exactly(conn, 4)
	if !ok {
		return nil
	}
	address := target(conn, header[3])
	upstream, err := p.dial(context.Background(), address)
	if err != nil {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // connection refused
		return nil
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return upstream
}

// trusts checks a user name and a password.
func (p *Proxy) trusts(conn net.Conn) bool {
	head, ok := exactly(conn, 1)
	if !ok || head[0] != 1 {
		return false
	}
	user, okUser := counted(conn)
	password, okPassword := counted(conn)
	if !okUser || !okPassword || string(user)+":"+string(password) != p.login {
		_, _ = conn.Write([]byte{1, 1})
		return false
	}
	_, err := conn.Write([]byte{1, 0})
	return err == nil
}

// target reads where a client wants to go.
func target(conn net.Conn, kind byte) string {
	var host string
	switch kind {
	case 1, 4:
		ip, _ := exactly(conn, map[byte]int{1: net.IPv4len, 4: net.IPv6len}[kind])
		host = net.IP(ip).String()
	default:
		name, _ := counted(conn)
		host = string(name)
	}
	port, ok := exactly(conn, 2)
	if !ok {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port))))
}

// counted reads a text that its length goes before.
func counted(conn net.Conn) ([]byte, bool) {
	n, ok := exactly(conn, 1)
	if !ok {
		return nil, false
	}
	return exactly(conn, int(n[0]))
}

func exactly(conn net.Conn, n int) ([]byte, bool) {
	b := make([]byte, n)
	_, err := io.ReadFull(conn, b)
	return b, err == nil
}

// Count listens, and returns how many connections there were.
func Count(t testing.TB, network, address string) func() int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var n atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			_ = conn.Close()
		}
	}()
	return func() int { return int(n.Load()) }
}
