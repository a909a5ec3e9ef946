// Package hindrance tells why the API server does not do what it is asked to, as far as that decides whether asking again can
// help, and keeps that beside the words for the user.
package hindrance

import (
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Cause is why something is not done.
type Cause string

const (
	// Passing is everything that asking again helps against: the API server is away or busy, or somebody was faster.
	Passing Cause = "Passing"
	// Forbidden means that the account lacks the right.
	Forbidden Cause = "Forbidden"
	// Denied means that admission says no, or that a webhook that has to be asked does not answer.
	Denied Cause = "Denied"
	// Unserved means that there is such a kind, and nobody can reach or delete its objects.
	Unserved Cause = "Unserved"
	// Unreadable means that what says what there is to do is damaged.
	Unreadable Cause = "Unreadable"
)

// Error is something that is not done.
type Error struct {
	Cause Cause
	// What is not done, as Kind/namespace/name, and the namespace that it is in; empty for none.
	What, Namespace string
	// Message is for the user.
	Message string

	// err is what Each found, for callers that branch on it.
	err error
}

// Error is a hindrance in words that may be shown.
func (e *Error) Error() string { return e.Message }

// Unwrap is the error that Each has looked at.
func (e *Error) Unwrap() error { return e.err }

// Each takes an error apart into those that were joined in it. What is no hindrance yet has its cause found out, and no What.
func Each(err error) []*Error {
	if err == nil {
		return nil
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if many, ok := inner.(interface{ Unwrap() []error }); ok {
			var found []*Error
			for _, one := range many.Unwrap() {
				found = append(found, Each(one)...)
			}
			return found
		}
	}
	one := Error{Cause: Of(err), Message: err.Error(), err: err}
	var known *Error
	if errors.As(err, &known) {
		one.What, one.Namespace = known.What, known.Namespace
	}
	return []*Error{&one}
}

// Of is the cause of an error.
func Of(err error) Cause {
	var known *Error
	var answer apierrors.APIStatus
	switch {
	case errors.As(err, &known):
		return known.Cause
	case !errors.As(err, &answer):
		return Passing
	}
	status := answer.Status()
	switch code := int(status.Code); {
	case code == http.StatusForbidden && lacksRight(status.Message):
		return Forbidden
	case code == http.StatusMethodNotAllowed:
		return Unserved
	case code == http.StatusInternalServerError && strings.Contains(status.Message, "webhook"):
		return Denied
	case code < http.StatusBadRequest || code >= http.StatusInternalServerError || passes(code):
		return Passing
	}
	return Denied
}

// passes says whether an answer speaks of this moment and of nothing that is asked for: somebody was faster, or asks often,
// or the API server is just learning who asks.
func passes(code int) bool {
	switch code {
	case http.StatusUnauthorized, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusGone,
		http.StatusTooManyRequests:
		return true
	}
	return false
}

// lacksRight tells what authorization forbids from what admission does: both answer 403 with the same reason, and only the
// former says which user cannot do what, in words that have been the same in all versions of Kubernetes that are served.
func lacksRight(message string) bool {
	_, rest, found := strings.Cut(message, `User "`)
	return found && !strings.Contains(message, "denied") && strings.Contains(rest, `" cannot `)
}
