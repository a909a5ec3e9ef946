package wire

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest that a server can keep us from asking.
const maxWait = 24 * time.Hour

// RetryAfter is how long a server wants to be left alone, by its Retry-After header: seconds, or a time, which is told from
// the server's own clock. 0 if it does not say.
func RetryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxWait)
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(until.Sub(now), 0), maxWait)
}
