package rendering

import "errors"

// Why a file is not accepted. Every error of [Open] but a failing reader's wraps one of them, and none of them repeats
// what a file holds.
var (
	// ErrFormat: not a file of this format, of another version of it, damaged, or cut short.
	ErrFormat = errors.New("not a valid rendering")
	// ErrNoKey: sealed to none of the identities given.
	ErrNoKey = errors.New("sealed to other recipients")
	// ErrWrongSubject: made for another subject than the one asked for.
	ErrWrongSubject = errors.New("rendering of another subject")
	// ErrWrongTag: another content than the one asked for.
	ErrWrongTag = errors.New("rendering of other content")
	// ErrLimit: larger than a rendering may be.
	ErrLimit = errors.New("rendering is too large")
)
