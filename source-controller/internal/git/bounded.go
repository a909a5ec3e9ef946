package git

import (
	"errors"
	"io"
	"sync/atomic"
)

// bounded holds what one session takes to its limits, and notes what go-git does not pass on.
type bounded struct {
	limits Limits
	// exceeded is the limit, in bytes, that there was more than; 0 while there was not.
	exceeded atomic.Int64
	// quiet is set once nothing came for too long. Of the last answer, cut is set when it stopped before its end, and refused
	// when it was an error of git's.
	quiet, cut, refused atomic.Bool
	// received is how many bytes came.
	received atomic.Int64
}

// begin starts another answer.
func (b *bounded) begin() {
	b.cut.Store(false)
	b.refused.Store(false)
}

// advertisement bounds a list of references.
func (b *bounded) advertisement(r io.Reader) io.Reader {
	return &capped{r: r, limit: b.limits.Advertisement, left: b.limits.Advertisement, seen: b}
}

// pack bounds the answer to a fetch.
func (b *bounded) pack(r io.Reader) io.Reader {
	return &capped{r: r, limit: b.limits.Pack, left: b.limits.Pack, seen: b, start: make([]byte, 0, len(errorLine))}
}

// errorLine is how git's refusals start: a length of four digits, which is of no interest, and a word.
const errorLine = "....ERR "

// capped fails, rather than ends, when there is more than allowed.
type capped struct {
	r           io.Reader
	limit, left int64
	// start is the first bytes of a fetch; without room when nobody wants to know.
	start []byte
	seen  *bounded
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.seen.exceeded.Store(c.limit)
		return 0, ErrTooLarge
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.seen.received.Add(int64(n))
	if room := cap(c.start) - len(c.start); room > 0 {
		c.start = append(c.start, p[:min(n, room)]...)
		if len(c.start) == len(errorLine) && string(c.start[4:]) == errorLine[4:] {
			c.seen.refused.Store(true)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.seen.cut.Store(true)
	}
	return n, err
}
