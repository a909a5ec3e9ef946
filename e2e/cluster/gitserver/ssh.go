package gitserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSH serves the repositories of a [Server] over SSH, for fetching. It is safe for concurrent use.
type SSH struct {
	git      git
	root     string
	listener net.Listener
	hostKey  ssh.Signer

	mu      sync.Mutex
	allowed [][]byte // public keys in wire format
	open    map[net.Conn]struct{}
}

// StartSSH starts a server with a host key of its own; Close ends it.
func (s *Server) StartSSH() (*SSH, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("start ssh server: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("start ssh server: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start ssh server: %w", err)
	}
	h := &SSH{git: s.git, root: s.root, listener: listener, hostKey: signer, open: map[net.Conn]struct{}{}}
	go h.accept()
	return h, nil
}

// URL is where clients clone a repository from.
func (h *SSH) URL(repo string) string {
	return fmt.Sprintf("ssh://git@%s/%s.git", h.listener.Addr(), repo)
}

// KnownHosts is the line that a client needs to know the server by.
func (h *SSH) KnownHosts() string {
	return knownhosts.Line([]string{knownhosts.Normalize(h.listener.Addr().String())}, h.hostKey.PublicKey())
}

// Allow lets the holder of a key in.
func (h *SSH) Allow(key ssh.PublicKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.allowed = append(h.allowed, key.Marshal())
}

// Close ends the server, and cuts what is open.
func (h *SSH) Close() error {
	err := h.listener.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for conn := range h.open {
		_ = conn.Close()
	}
	return err
}

func (h *SSH) accept() {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			return
		}
		go h.serve(conn)
	}
}

func (h *SSH) serve(conn net.Conn) {
	h.mu.Lock()
	h.open[conn] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.open, conn)
		h.mu.Unlock()
		_ = conn.Close()
	}()
	config := &ssh.ServerConfig{PublicKeyCallback: h.authorize}
	config.AddHostKey(h.hostKey)
	session, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	defer func() { _ = session.Close() }()
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		if channel.ChannelType() != "session" {
			_ = channel.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		go h.session(channel)
	}
}

func (h *SSH) authorize(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, allowed := range h.allowed {
		if bytes.Equal(allowed, key.Marshal()) {
			return &ssh.Permissions{}, nil
		}
	}
	return nil, errors.New("this key is not let in")
}

// uploadPack is the one command there is; the path is quoted as git quotes it.
var uploadPack = regexp.MustCompile(`^git-upload-pack '/?([A-Za-z0-9._/-]+)'$`)

// session runs the command that a client asks for.
func (h *SSH) session(offered ssh.NewChannel) {
	channel, requests, err := offered.Accept()
	if err != nil {
		return
	}
	defer func() { _ = channel.Close() }()
	protocol := ""
	for request := range requests {
		switch request.Type {
		case "env":
			var variable struct{ Name, Value string }
			if ssh.Unmarshal(request.Payload, &variable) == nil && variable.Name == "GIT_PROTOCOL" {
				protocol = variable.Value
			}
			_ = request.Reply(true, nil)
		case "exec":
			var command struct{ Line string }
			_ = ssh.Unmarshal(request.Payload, &command)
			_ = request.Reply(true, nil)
			status := make([]byte, 4)
			binary.BigEndian.PutUint32(status, h.run(command.Line, protocol, channel))
			_, _ = channel.SendRequest("exit-status", false, status)
			return
		default:
			_ = request.Reply(false, nil)
		}
	}
}

func (h *SSH) run(line, protocol string, channel ssh.Channel) (status uint32) {
	m := uploadPack.FindStringSubmatch(line)
	if m == nil || strings.Contains(m[1], "..") {
		_, _ = io.WriteString(channel.Stderr(), "only git-upload-pack is served here\n")
		return 128
	}
	cmd := exec.CommandContext(context.Background(), h.git.path, "upload-pack", filepath.Join(h.root, filepath.FromSlash(m[1])))
	cmd.Env = append(h.git.env(), "GIT_PROTOCOL="+protocol)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = channel, channel, channel.Stderr()
	var failed *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &failed):
		return uint32(max(1, failed.ExitCode()))
	case err != nil:
		return 127
	}
	return 0
}
