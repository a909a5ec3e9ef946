package plan

import "time"

// Jitter spreads a duration over ±percent around it. spread is between 0 and 1, usually random.
func Jitter(d time.Duration, percent uint8, spread float64) time.Duration {
	return d + time.Duration(float64(d)*float64(percent)/100*(2*spread-1))
}

// Backoff is how long to wait after the given number of failures in a row (at least 1): base, doubled each time, at
// most limit. A limit of 0 or less is none.
func Backoff(base, limit time.Duration, failures int) time.Duration {
	d := base
	for i := 1; i < failures && i < 32 && (limit <= 0 || d < limit); i++ {
		d *= 2
	}
	if limit > 0 {
		d = min(d, limit)
	}
	return d
}
