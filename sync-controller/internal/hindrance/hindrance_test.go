package hindrance

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var configMaps = schema.GroupResource{Resource: "configmaps"}

func answer(code int, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: "Failure", Code: int32(code), Reason: reason, Message: message}}
}

func TestOf(t *testing.T) {
	t.Parallel()
	user := `User "system:serviceaccount:a:tenant" cannot delete resource "configmaps" in API group "" in the namespace "b"`
	for name, tc := range map[string]struct {
		reason string
		err    error
		want   Cause
	}{
		"rights": {reason: "RBAC's own words", err: apierrors.NewForbidden(configMaps, "x", errors.New(user)), want: Forbidden},
		"impersonation": {
			reason: "who may not become the account may not act as it",
			err:    answer(403, "Forbidden", `users "tenant" is forbidden: User "sync" cannot impersonate resource "users"`), want: Forbidden,
		},
		"webhook":           {reason: "a webhook answers 403 as well", err: answer(403, "Forbidden", `admission webhook "a.b" denied the request: no`), want: Denied},
		"webhook that lies": {reason: "a webhook may quote RBAC", err: answer(403, "Forbidden", `admission webhook "a.b" denied the request: `+user), want: Denied},
		"policy":            {reason: "a policy answers 422", err: answer(422, "Invalid", `ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no`), want: Denied},
		"protected":         {reason: "a namespace that admission protects", err: apierrors.NewForbidden(configMaps, "default", errors.New("this namespace may not be deleted")), want: Denied},
		"webhook away":      {reason: "failurePolicy Fail, and nobody listens", err: apierrors.NewInternalError(errors.New(`failed calling webhook "a.b": no endpoints`)), want: Denied},
		"broken server":     {reason: "etcd has no leader just now", err: apierrors.NewInternalError(errors.New("etcdserver: leader changed")), want: Passing},
		"no verb":           {reason: "an aggregated API that deletes nothing", err: apierrors.NewMethodNotSupported(configMaps, "delete"), want: Unserved},
		"conflict":          {reason: "somebody was faster", err: apierrors.NewConflict(configMaps, "x", errors.New("uid")), want: Passing},
		"gone":              {reason: "somebody was faster", err: apierrors.NewNotFound(configMaps, "x"), want: Passing},
		"busy":              {reason: "priority and fairness", err: answer(http.StatusTooManyRequests, "TooManyRequests", "try again"), want: Passing},
		"unavailable":       {reason: "an aggregated API server is down", err: apierrors.NewServiceUnavailable("down"), want: Passing},
		"network":           {reason: "no answer at all", err: errors.New("connection reset by peer"), want: Passing},
		"wrapped":           {reason: "words around it change nothing", err: fmt.Errorf("delete: %w", &Error{Cause: Unreadable, Message: "x"}), want: Unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Of(tc.err); got != tc.want {
				t.Errorf("%s: got %s, want %s for %v", tc.reason, got, tc.want, tc.err)
			}
		})
	}
}

func TestEach(t *testing.T) {
	t.Parallel()
	one := &Error{Cause: Forbidden, What: "ConfigMap/a/one", Namespace: "a", Message: "ConfigMap/a/one: forbidden"}
	err := fmt.Errorf("delete what was applied: %w", errors.Join(
		fmt.Errorf("delete failed: %w", one),
		fmt.Errorf("more: %w", errors.Join(errors.New("connection reset by peer"), nil)),
	))
	want := []*Error{
		{Cause: Forbidden, What: "ConfigMap/a/one", Namespace: "a", Message: "delete failed: ConfigMap/a/one: forbidden"},
		{Cause: Passing, Message: "connection reset by peer"},
	}
	if diff := cmp.Diff(want, Each(err), cmpopts.IgnoreUnexported(Error{})); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(errors.Join(Each(err)[0]), one) {
		t.Error("what a caller branches on is lost")
	}
	if got := Each(nil); got != nil {
		t.Errorf("no error: %v", got)
	}
}
