package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// attemptTimeout bounds one question of HTTPReady and TCPReady.
const attemptTimeout = 2 * time.Second

// tailBytes bounds what logTail reads.
const tailBytes = 8192

// HTTPReady returns a Spec.Ready that wants status 200 from url. A nil client
// means one without TLS settings.
func HTTPReady(client *http.Client, url string) func(context.Context) error {
	if client == nil {
		client = &http.Client{}
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("ask %s: %w", url, err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if err != nil {
			return fmt.Errorf("read answer of %s: %w", url, err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s: %s", url, resp.Status, lastLines(body, 3))
		}
		return nil
	}
}

// TCPReady returns a Spec.Ready that wants addr (host:port) to accept connections.
func TCPReady(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		dialer := net.Dialer{Timeout: attemptTimeout}
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// logTail renders the end of a log file for an error message.
func logTail(path string) string {
	if path == "" {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	data, err := io.ReadAll(io.LimitReader(f, tailBytes))
	if err != nil || len(data) == 0 {
		return ""
	}
	return fmt.Sprintf("\nend of %s:\n%s", path, lastLines(data, 8))
}

func lastLines(data []byte, n int) string {
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
