package apply

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// maxListed is how many failures an error lists; the rest is counted.
const maxListed = 10

// maxCause is how many bytes of one reason of the API server are shown.
const maxCause = 240

// Failure is an object that could not be applied, and why.
type Failure struct {
	ID inventory.ID
	// Reason is the API server's, empty when it did not answer or was not asked.
	Reason metav1.StatusReason
	// Message is for the user. It names the object and is free of secrets: of a Secret or a tainted object it holds nothing
	// that the server wrote but reason and field paths.
	Message string
}

// Error is every object of a stage that could not be applied.
type Error struct {
	// Stage that ended: "preparation", "definitions", "classes" or "resources".
	Stage string
	// Written says that objects of the stage were written before the failure; otherwise all of the stage is as it was.
	Written bool
	// Failures is never empty, and in the order of application.
	Failures []Failure
}

// Error lists the failures, the first ten of them.
func (e *Error) Error() string {
	if len(e.Failures) == 1 {
		return e.Failures[0].Message
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d objects cannot be applied", len(e.Failures))
	if !e.Written {
		fmt.Fprintf(&text, ", so none of their stage (%s) was", e.Stage)
	}
	for _, f := range e.Failures[:min(maxListed, len(e.Failures))] {
		text.WriteString("\n" + f.Message)
	}
	if more := len(e.Failures) - maxListed; more > 0 {
		fmt.Fprintf(&text, "\nand %d more", more)
	}
	return text.String()
}

// refused is the failure for what the API server answered about an object: "Kind/namespace/name dry-run failed (Invalid):
// …", as Flux words it.
func refused(it item, operation string, err error) *Failure {
	id := it.entry.ID
	name := inventory.Describe(id)
	reason := apierrors.ReasonForError(err)
	if reason != "" && !it.tainted {
		operation += " (" + string(reason) + ")"
	}
	said := redact.Object(brief(readable(err)), id.GroupKind.Kind, id.Namespace, id.Name, it.tainted)
	return &Failure{ID: id, Reason: reason, Message: name + " " + operation + strings.TrimPrefix(said, name)}
}

// goValue is how the API server shows the value of a field that has the wrong type: as a Go program would.
var goValue = regexp.MustCompile(`expected (\w+), got &(?:value\.valueUnstructured\{Value:([^}]*)\}|\{([^}]*)\})`)

// readable says what is wrong with the type of a field, and what is most often the reason.
func readable(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !goValue.MatchString(status.Status().Message) {
		return err
	}
	full := status.Status()
	full.Message = goValue.ReplaceAllStringFunc(full.Message, func(text string) string {
		parts := goValue.FindStringSubmatch(text)
		got := cutMiddle(parts[2] + parts[3])
		switch {
		case got == "":
			return fmt.Sprintf("expected %s, got an empty value", parts[1])
		case parts[1] == "string":
			return fmt.Sprintf("expected string, got %s: put it in quotes", got)
		}
		return fmt.Sprintf("expected %s, got %s", parts[1], got)
	})
	return &apierrors.StatusError{ErrStatus: full}
}

// brief cuts what the API server repeats of an object out of its middle: it may show a whole pod template before it says
// what is wrong with it.
func brief(err error) error {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return err
	}
	full := status.Status()
	causes := make([]string, len(full.Details.Causes))
	long := false
	for i, cause := range full.Details.Causes {
		causes[i] = cause.Field + ": " + cutMiddle(cause.Message)
		long = long || len(cause.Message) > maxCause
	}
	if !long {
		return err
	}
	full.Message = fmt.Sprintf("%s %q is invalid: %s", full.Details.Kind, full.Details.Name, strings.Join(causes, ", "))
	return &apierrors.StatusError{ErrStatus: full}
}

// cutMiddle keeps the start of a long text, and more of its end.
func cutMiddle(text string) string {
	if len(text) <= maxCause {
		return text
	}
	const start = maxCause / 4
	return strings.ToValidUTF8(text[:start]+" … "+text[len(text)-(maxCause-start):], "")
}

// failed is a failure that we found ourselves. The format must not repeat anything that the object contains.
func failed(it item, format string, args ...any) *Failure {
	return &Failure{
		ID:      it.entry.ID,
		Message: inventory.Describe(it.entry.ID) + " " + fmt.Sprintf(format, args...),
	}
}
