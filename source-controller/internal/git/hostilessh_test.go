package git_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// raw is a server that does with a connection what it likes.
func raw(t *testing.T, do func(net.Conn)) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			do(conn)
			_, _ = io.Copy(io.Discard, conn) // until the client gives up
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return "ssh://git@" + listener.Addr().String() + "/app.git"
}

func send(text ...string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, strings.Join(text, "")) } // the client may be gone
}

func forever(text string) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

// attemptSSH polls within a time, with limits.
func attemptSSH(t *testing.T, clone *git.Clone, url string, secret map[string][]byte, within time.Duration, limits git.Limits) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return attemptWith(ctx, clone, url, login(t, secret), limits)
}

// nobodyIsLeft waits until no goroutine of SSH is there any more.
func nobodyIsLeft(t *testing.T) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("x/crypto/ssh.")) && !bytes.Contains(stacks, []byte("internal/ssh.")) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("goroutines are left:\n%s", stacks)
		case <-tick.C:
		}
	}
}

// TestS19ServersThatSendJunkOverSSH: whatever comes before anybody has logged in, it ends, in time, and in words of our own.
func TestS19ServersThatSendJunkOverSSH(t *testing.T) {
	const version = "SSH-2.0-server\r\n"
	noise := make([]byte, 4096)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	packet := func(length uint32, payload string) string {
		return string([]byte{byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}) + payload
	}
	for name, tc := range map[string]struct {
		do   func(net.Conn)
		text string
	}{
		"silence":                {func(net.Conn) {}, "did not answer in time"},
		"a version, and silence": {send(version), "did not answer in time"},
		"half a version":         {send("SSH-2.0-ser"), "did not answer in time"},
		"closed at once":         {func(c net.Conn) { _ = c.Close() }, ""},
		"closed after the version": {func(c net.Conn) {
			send(version)(c)
			_ = c.Close()
		}, ""},
		"half closed": {func(c net.Conn) {
			send(version)(c)
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		}, "closed the connection halfway"},
		"a web server":       {send("HTTP/1.1 400 Bad Request\r\n\r\ntext of the server"), ""},
		"lines for ever":     {forever("text of the server\r\n"), ""},
		"a line for ever":    {forever("x"), ""},
		"noise":              {send(version, string(noise)), ""},
		"zeros for ever":     {forever(strings.Repeat("\x00", 4096)), ""},
		"another version":    {send("SSH-1.5-server\r\n"), ""},
		"a packet too long":  {send(version, packet(1<<31, "x")), ""},
		"an empty packet":    {send(version, packet(0, "")), ""},
		"a packet of rubble": {send(version, packet(12, "\x04\x14rubble here")), ""},
		"one message over and over": {func(c net.Conn) {
			send(version)(c)
			forever(packet(12, "\x0a\x02"+strings.Repeat("\x00", 10)))(c)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			secret := gittest.NewSSH(t).Secret()
			url := raw(t, tc.do)
			host := strings.TrimPrefix(strings.TrimSuffix(url, "/app.git"), "ssh://git@")
			clone, dir := newClone(t)
			began := time.Now()
			limits := git.DefaultLimits()
			limits.Advertisement, limits.Pack = 1<<20, 1<<20
			err := attemptSSH(t, clone, url, secret, 300*time.Millisecond, limits)
			if err == nil || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), host) ||
				strings.Contains(err.Error(), "text of the server") {
				t.Errorf("got %v, want %q", err, tc.text)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			nobodyIsLeft(t)
		})
	}
}

// TestS27ServersThatStallOverSSH: a server that let us in, and then stalls, floods or says something else than git does.
func TestS27ServersThatStallOverSSH(t *testing.T) {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	hang := func(gossh.Channel) { <-end }
	flood := func(w io.Writer, text string) {
		for {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
	line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	hash := strings.Repeat("ab", 20)
	for name, tc := range map[string]struct {
		do   func(gossh.Channel)
		text string
	}{
		"silence":                 {hang, "did not answer in time"},
		"half a list":             {func(c gossh.Channel) { _, _ = io.WriteString(c, "0040"+hash); hang(c) }, "did not answer in time"},
		"references for ever":     {func(c gossh.Channel) { flood(c, line(hash+" refs/heads/"+strings.Repeat("x", 200)+"\x00ofs-delta\n")) }, ""},
		"errors for ever":         {func(c gossh.Channel) { flood(c.Stderr(), "text of the server\n") }, "sends more than"},
		"an end without a list":   {func(c gossh.Channel) { _, _ = io.WriteString(c.Stderr(), "text of the server\n") }, "there is nothing here"},
		"half a list, and an end": {func(c gossh.Channel) { _, _ = io.WriteString(c, line(hash+" HEAD\x00ofs-delta\n")) }, "closed the connection halfway"},
		"another program":         {func(c gossh.Channel) { _, _ = io.WriteString(c, "text of the server\r\n$ ") }, "does not answer as a git server does"},
		"an error of git's":       {func(c gossh.Channel) { _, _ = io.WriteString(c, line("ERR text of the server")) }, "does not list its references"},
		"half closed":             {func(c gossh.Channel) { _ = c.CloseWrite(); hang(c) }, "there is nothing here"},
		"lists, and no fetch": {func(c gossh.Channel) {
			_, _ = io.WriteString(c, line(hash+" refs/heads/main\x00ofs-delta\n")+"0000")
			hang(c)
		}, "did not answer in time"},
		"lists, and floods": {func(c gossh.Channel) {
			_, _ = io.WriteString(c, line(hash+" refs/heads/main\x00side-band-64k\n")+"0000")
			flood(c, line("NAK\n")+line("\x02text of the server\n"))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := gittest.NewSSH(t)
			server.Disturb(func(_ string, channel gossh.Channel) bool {
				tc.do(channel)
				return true
			})
			clone, dir := newClone(t)
			limits := git.DefaultLimits()
			limits.Advertisement, limits.Pack = 1<<20, 1<<20
			err := attemptSSH(t, clone, server.URL+"/app.git", server.Secret(), 2*time.Second, limits)
			if err == nil || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "text of the server") {
				t.Errorf("got %v, want %q", err, tc.text)
			}
			if tc.text == "" && errors.Is(err, git.ErrTimeout) {
				t.Errorf("only time ends it: %v", err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			server.Close()
			nobodyIsLeft(t)
		})
	}
}

// TestS27ServersThatAskOverSSH: requests that no client expects are refused, and cost nothing.
func TestS27ServersThatAskOverSSH(t *testing.T) {
	server := gittest.NewSSH(t)
	repo := server.Repo(t, "app")
	commit := repo.Commit("one", map[string]string{"a": gittest.Random(300_000)})
	server.Configure(func(c *gossh.ServerConfig) {
		c.RekeyThreshold = 4096 // as often as it may
		c.BannerCallback = func(gossh.ConnMetadata) string { return strings.Repeat("text of the server\n", 1000) }
	})
	server.Greet(func(conn *gossh.ServerConn) {
		for range 100 {
			_, _, _ = conn.SendRequest("keepalive@openssh.com", false, []byte(strings.Repeat("x", 1000)))
			_, _, _ = conn.OpenChannel("forwarded-tcpip", []byte("canary"))
		}
	})
	clone, _ := newClone(t)
	if err := attemptSSH(t, clone, repo.URL, server.Secret(), 30*time.Second, git.DefaultLimits()); err != nil || !clone.Has(commit) {
		t.Errorf("got %v", err)
	}
	if err := clone.Close(); err != nil {
		t.Error(err)
	}
	server.Close()
	nobodyIsLeft(t)
}

// TestFloodBesideTheConversation: all that comes counts, also what nobody asked for.
func TestFloodBesideTheConversation(t *testing.T) {
	server := gittest.NewSSH(t)
	server.Disturb(func(_ string, channel gossh.Channel) bool {
		_, _ = io.Copy(io.Discard, channel) // until the client gives up
		return true
	})
	server.Greet(func(conn *gossh.ServerConn) {
		for {
			if _, _, err := conn.SendRequest("keepalive@openssh.com", false, []byte(strings.Repeat("x", 30_000))); err != nil {
				return
			}
		}
	})
	clone, _ := newClone(t)
	limits := git.DefaultLimits()
	limits.Advertisement, limits.Pack = 1<<20, 1<<20
	err := attemptSSH(t, clone, server.URL+"/app.git", server.Secret(), 20*time.Second, limits)
	if !errors.Is(err, git.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	server.Close()
	nobodyIsLeft(t)
}
