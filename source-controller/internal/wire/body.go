package wire

import (
	"io"
	"time"
)

// Capped is a body that fails with tooLarge, rather than ends, when it has more than limit bytes.
func Capped(body io.ReadCloser, limit int64, tooLarge error) io.ReadCloser {
	return &capped{ReadCloser: body, left: limit, tooLarge: tooLarge}
}

type capped struct {
	io.ReadCloser

	left     int64
	tooLarge error
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left < 0 {
		return 0, c.tooLarge
	}
	// One byte more than is allowed tells an end from an excess.
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left+1)])
	if c.left -= int64(n); c.left < 0 {
		return n - 1, c.tooLarge
	}
	return n, err
}

// Idle is a body of which something has to come within each timeout: cancel, which ends the request, is called otherwise.
func Idle(body io.ReadCloser, timeout time.Duration, cancel func()) io.ReadCloser {
	return &idle{ReadCloser: body, timeout: timeout, timer: time.AfterFunc(timeout, cancel)}
}

type idle struct {
	io.ReadCloser

	timeout time.Duration
	timer   *time.Timer
}

func (i *idle) Read(p []byte) (int, error) {
	n, err := i.ReadCloser.Read(p)
	if n > 0 {
		i.timer.Reset(i.timeout)
	}
	return n, err
}

func (i *idle) Close() error {
	i.timer.Stop()
	return i.ReadCloser.Close()
}
