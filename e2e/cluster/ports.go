package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Ports are taken from below the range that the kernel gives to outgoing connections: those take a port at any time.
const (
	firstPort = 20_000
	manyPorts = 10_000
	portTries = 1000
)

// reserved is for how long nobody else is given a port: its program listens by then.
const reserved = 2 * time.Minute

// FreePort returns a TCP port on 127.0.0.1 that nobody listens on, and that no other call, of any process, returns soon.
func FreePort() (int, error) {
	folder := filepath.Join(os.TempDir(), "sluice-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	for range portTries {
		port := firstPort + rand.IntN(manyPorts)
		mine, err := reserve(filepath.Join(folder, strconv.Itoa(port)))
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		if mine && unused(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: none of %d tried between %d and %d is", portTries, firstPort, firstPort+manyPorts-1)
}

// freePorts returns n different free ports.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		var err error
		if ports[i], err = FreePort(); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

// reserve makes a file that says whose the port is: of those who come at the same time only one can. A file that has had
// its time goes, for the next who asks.
func reserve(file string) (bool, error) {
	made, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		return true, made.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	if info, err := os.Stat(file); err == nil && time.Since(info.ModTime()) > reserved {
		_ = os.Remove(file) // somebody else may have
	}
	return false, nil
}

func unused(port int) bool {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
