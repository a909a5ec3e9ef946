package gittest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSHServer is a git server that is reached over SSH: it runs git's own upload-pack. It is safe for concurrent use.
type SSHServer struct {
	// URL of the server, with the user git, without a trailing slash.
	URL string
	// Address it listens on.
	Address string
	// Identity is a private key in PEM that the server lets in.
	Identity []byte

	root   string
	config *ssh.ServerConfig
	hosts  []ssh.Signer

	mu        sync.Mutex
	listener  net.Listener
	open      map[net.Conn]bool
	accepted  map[string]bool
	connected int
	commands  []string
	users     []string
	disturb   SSHDisturbance
	greet     func(*ssh.ServerConn)
}

// SSHDisturbance replaces the answer to a command; it returns false to leave it to git.
type SSHDisturbance func(command string, channel ssh.Channel) bool

// NewSSH starts a server that ends with the test. Without host keys it has one of its own, of type ed25519.
func NewSSH(t testing.TB, hostKeys ...ssh.Signer) *SSHServer {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if len(hostKeys) == 0 {
		hostKeys = []ssh.Signer{Signer(t, NewKey(t))}
	}
	s := &SSHServer{
		Address: listener.Addr().String(), URL: "ssh://git@" + listener.Addr().String(), Identity: NewKey(t),
		root: t.TempDir(), hosts: hostKeys, listener: listener, open: map[net.Conn]bool{}, accepted: map[string]bool{},
	}
	s.config = &ssh.ServerConfig{PublicKeyCallback: s.authenticate}
	for _, key := range hostKeys {
		s.config.AddHostKey(key)
	}
	s.Accept(Signer(t, s.Identity).PublicKey())
	t.Cleanup(s.Close)
	go s.serve()
	return s
}

// Close ends the server and its connections.
func (s *SSHServer) Close() {
	_ = s.listener.Close() // it may be closed already
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

// Repo creates an empty repository whose default branch is main.
func (s *SSHServer) Repo(t testing.TB, name string) *Repo {
	t.Helper()
	return newRepo(t, s.root, s.URL, name)
}

// RepoOf is Repo with objects named by another hash than sha1.
func (s *SSHServer) RepoOf(t testing.TB, name, hash string) *Repo {
	t.Helper()
	return newRepo(t, s.root, s.URL, name, "--object-format="+hash)
}

// Configure changes what the server agrees to, for connections from now on.
func (s *SSHServer) Configure(change func(*ssh.ServerConfig)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.config)
}

// Accept lets a key in.
func (s *SSHServer) Accept(key ssh.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted[string(key.Marshal())] = true
}

// Expel lets a key in no more.
func (s *SSHServer) Expel(key ssh.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accepted, string(key.Marshal()))
}

// Refuse says that there is no such repository, as servers do: beside the conversation.
func Refuse(_ string, channel ssh.Channel) bool {
	fmt.Fprintln(channel.Stderr(), "text of the server")
	return true
}

// Disturb sets what comes before git; nil for nothing.
func (s *SSHServer) Disturb(d SSHDisturbance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disturb = d
}

// Greet sets what is done beside with every connection that was let in.
func (s *SSHServer) Greet(do func(*ssh.ServerConn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greet = do
}

// KnownHosts are the lines of known_hosts for the server.
func (s *SSHServer) KnownHosts() []byte {
	var lines strings.Builder
	for _, key := range s.hosts {
		lines.WriteString(knownhosts.Line([]string{s.Address}, key.PublicKey()) + "\n")
	}
	return []byte(lines.String())
}

// Secret is what a Secret for the server holds.
func (s *SSHServer) Secret() map[string][]byte {
	return map[string][]byte{"identity": s.Identity, "known_hosts": s.KnownHosts()}
}

// Connections returns how many were opened since the last call, and what was to be run on them.
func (s *SSHServer) Connections() (int, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, commands := s.connected, s.commands
	s.connected, s.commands = 0, nil
	return n, commands
}

// Users returns who was let in since the last call.
func (s *SSHServer) Users() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := s.users
	s.users = nil
	return users
}

func (s *SSHServer) authenticate(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.accepted[string(key.Marshal())] {
		return nil, errors.New("text of the server")
	}
	s.users = append(s.users, who.User())
	return &ssh.Permissions{}, nil
}

func (s *SSHServer) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.connected++
		s.open[conn] = true
		s.mu.Unlock()
		go s.talk(conn)
	}
}

func (s *SSHServer) talk(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
	}()
	s.mu.Lock()
	config := *s.config
	s.mu.Unlock()
	in, channels, requests, err := ssh.NewServerConn(conn, &config)
	if err != nil {
		return // the client was not let in, or gave up
	}
	s.mu.Lock()
	greet := s.greet
	s.mu.Unlock()
	if greet != nil {
		go greet(in)
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests)
	}
}

func (s *SSHServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = channel.Close() }()
	for request := range requests {
		if request.Type != "exec" {
			_ = request.Reply(false, nil) // git asks for nothing else
			continue
		}
		var exec struct{ Command string }
		if ssh.Unmarshal(request.Payload, &exec) != nil || request.Reply(true, nil) != nil {
			return
		}
		s.mu.Lock()
		s.commands = append(s.commands, exec.Command)
		disturb := s.disturb
		s.mu.Unlock()
		status := 0
		if disturb == nil || !disturb(exec.Command, channel) {
			status = s.run(exec.Command, channel)
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)})) // the client may be gone
		return
	}
}

// run does what git-shell does: it runs upload-pack on a repository, and nothing else.
func (s *SSHServer) run(command string, channel ssh.Channel) int {
	path, ok := strings.CutPrefix(command, "git-upload-pack '/")
	if !ok {
		fmt.Fprintln(channel.Stderr(), "text of the server")
		return 1
	}
	git := exec.CommandContext(context.Background(), "git", "upload-pack", filepath.Join(s.root, strings.TrimSuffix(path, "'")))
	git.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
	git.Stdout, git.Stderr = channel, channel.Stderr()
	stdin, err := git.StdinPipe()
	if err != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(stdin, channel) // git ends with its input
		_ = stdin.Close()
	}()
	if git.Run() != nil {
		return 128
	}
	return 0
}

// NewKey makes a private key of type ed25519, in OpenSSH's format.
func NewKey(t testing.TB) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return MarshalKey(t, key, "")
}

// MarshalKey writes a private key as ssh-keygen does, encrypted if there is a passphrase.
func MarshalKey(t testing.TB, key any, passphrase string) []byte {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "canary")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "canary", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

// Signer is a private key in PEM, ready to sign.
func Signer(t testing.TB, key []byte) ssh.Signer {
	t.Helper()
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
