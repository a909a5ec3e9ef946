// Package provider speaks the protocols of the services that notifications go to, a file per service. Build makes a
// Provider from a Provider object and its Secrets; it is used for one send and thrown away, so a changed Secret counts
// at once.
//
// Addresses, keys and tokens are credentials. They never appear in an error: a [Failure] holds only texts of ours,
// status codes, and error codes that a service documents.
package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

// Provider sends notifications to one target.
type Provider interface {
	// Send returns nil once the target has taken the notification, and a *Failure otherwise.
	Send(ctx context.Context, notification event.Event) error
}

// Stateful is a Provider whose target keeps a state per object, so that the order of notifications matters.
type Stateful interface {
	Provider
	// Effect of a notification on that state.
	Effect(notification event.Event) plan.Effect
	// Subject is the key of the state that the notification is about, the same for all notifications about one object.
	Subject(notification event.Event) string
}

// Failure is why a target did not take a notification.
type Failure struct {
	// Reason is free of secrets.
	Reason string
	// Permanent says that sending the same again cannot help.
	Permanent bool
	// RetryAfter is how long the target asked to wait; 0 when it did not.
	RetryAfter time.Duration
}

func (f *Failure) Error() string { return f.Reason }

// ErrNotFound says that a Provider does not exist, or is another one of the same name.
var ErrNotFound = errors.New("provider not found")

// InvalidError says that a Provider or its Secret cannot be used as it is, and what to change. It holds no secret.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

func invalid(format string, args ...any) error {
	return &InvalidError{Reason: fmt.Sprintf(format, args...)}
}

// plainText leaves out control characters, terminal escapes among them, and what is not UTF-8.
func plainText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == '\x7f' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
