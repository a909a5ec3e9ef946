package bustest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Server is a NATS server in this process. Its methods are safe for concurrent use.
type Server struct {
	options server.Options

	mu  sync.Mutex
	run *server.Server
}

// StartServer starts a NATS server with JetStream on a free port of the loopback interface, with its store in a temporary
// folder. Change may set further options first. It is stopped when the test ends.
func StartServer(t testing.TB, change ...func(*server.Options)) *Server {
	t.Helper()
	s := NewServer(t, change...)
	s.Start(t)
	return s
}

// NewServer is StartServer without the start: the port is reserved in so far as nothing is likely to take it.
func NewServer(t testing.TB, change ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: filepath.Join(t.TempDir(), "store"), JetStreamMaxStore: 2 << 30,
	}}
	for _, c := range change {
		c(&s.options)
	}
	t.Cleanup(s.Stop)
	s.Start(t) // finds the port
	s.Stop()
	return s
}

// MaxPayload is a change for [StartServer]: the most bytes of a message, headers included.
func MaxPayload(bytes int32) func(*server.Options) {
	return func(o *server.Options) { o.MaxPayload = bytes }
}

// URL is where the server listens, whether it runs or not.
func (s *Server) URL() string {
	return "nats://" + net.JoinHostPort(s.options.Host, strconv.Itoa(s.options.Port))
}

// Start starts the server on the port and with the store it had before.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil {
		return
	}
	options := s.options
	run, err := server.NewServer(&options)
	if err != nil {
		t.Fatalf("start NATS server: %v", err)
	}
	go run.Start()
	if !run.ReadyForConnections(patience) {
		run.Shutdown()
		t.Fatal("the NATS server does not start")
	}
	s.options.Port = options.Port
	s.run = run
}

// Stop stops the server; its store stays.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return
	}
	s.run.Shutdown()
	s.run.WaitForShutdown()
	s.run = nil
}

// Wipe deletes the store of a stopped server.
func (s *Server) Wipe(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(s.options.StoreDir); err != nil {
		t.Fatalf("wipe NATS store: %v", err)
	}
}

// Manage calls do with a connection that may do anything on a server without users.
func (s *Server) Manage(t testing.TB, do func(js jetstream.JetStream) error) {
	t.Helper()
	conn, err := nats.Connect(s.URL(), nats.Timeout(patience))
	if err != nil {
		t.Fatalf("connect to the NATS server: %v", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(patience))
	if err == nil {
		err = do(js)
	}
	if err != nil {
		t.Fatalf("manage the NATS server: %v", err)
	}
}
