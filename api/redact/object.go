package redact

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/event"
)

const (
	maxRejection = 1024 // bytes of the server's words that are shown
	maxFields    = 10
	maxField     = 200 // bytes
)

// Object returns the message for the user about an error that the API server, or the client on the way to it, has
// returned for one object: "Kind/namespace/name: …".
//
// The server and its webhooks may repeat any part of an object in what they say. For a Secret and for a tainted object the
// message is therefore made of fixed words, the kind of error and the paths of the fields, and of nothing else. Tainted is
// set for an object of any other kind that may hold a secret value (see rendering.Object). Namespace may be empty; the
// message is empty for no error, and bounded.
func Object(err error, kind, namespace, name string, tainted bool) string {
	if err == nil {
		return ""
	}
	id := kind + "/" + name
	if namespace != "" {
		id = kind + "/" + namespace + "/" + name
	}
	if tainted || kind == "Secret" {
		return id + ": " + fixedWords(err)
	}
	return id + ": " + event.Shorten(Error(err), maxRejection)
}

func fixedWords(err error) string {
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		return rejection(status.Status())
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return "the API server did not answer in time"
	case meta.IsNoMatchError(err):
		return "the cluster has no such kind (is its CustomResourceDefinition installed?)"
	case isNetwork(err):
		return "the API server cannot be reached"
	}
	return "failed; details are withheld because the object may hold secret values"
}

func isNetwork(err error) bool {
	var failed net.Error
	return errors.As(err, &failed)
}

func rejection(status metav1.Status) string {
	words := "rejected by the API server (" + reason(status) + ")"
	fields := fieldPaths(status)
	if len(fields) > 0 {
		words += ", see " + strings.Join(fields, ", ")
	}
	return words + "; details are withheld because the object may hold secret values"
}

// reason returns the status' reason if it is one of Kubernetes' own: a webhook may write anything there.
func reason(status metav1.Status) string {
	known := []metav1.StatusReason{
		metav1.StatusReasonUnauthorized, metav1.StatusReasonForbidden, metav1.StatusReasonNotFound,
		metav1.StatusReasonAlreadyExists, metav1.StatusReasonConflict, metav1.StatusReasonGone,
		metav1.StatusReasonInvalid, metav1.StatusReasonServerTimeout, metav1.StatusReasonStoreReadError,
		metav1.StatusReasonTimeout, metav1.StatusReasonTooManyRequests, metav1.StatusReasonBadRequest,
		metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonNotAcceptable,
		metav1.StatusReasonRequestEntityTooLarge, metav1.StatusReasonUnsupportedMediaType,
		metav1.StatusReasonInternalError, metav1.StatusReasonExpired, metav1.StatusReasonServiceUnavailable,
	}
	if slices.Contains(known, status.Reason) {
		return string(status.Reason)
	}
	if text := http.StatusText(int(status.Code)); text != "" {
		return text
	}
	return "no known reason"
}

// fieldPaths returns the fields that the causes name, if they look like paths and like nothing else.
func fieldPaths(status metav1.Status) []string {
	if status.Details == nil {
		return nil
	}
	var fields []string
	for _, cause := range status.Details.Causes {
		if len(fields) == maxFields {
			break
		}
		if isFieldPath(cause.Field) && !slices.Contains(fields, cause.Field) {
			fields = append(fields, cause.Field)
		}
	}
	return fields
}

func isFieldPath(s string) bool {
	if s == "" || len(s) > maxField {
		return false
	}
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("._-[]/", rune(c)) {
			return false
		}
	}
	return true
}
