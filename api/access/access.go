// Package access answers the two questions every controller asks before it follows a name that a user wrote: may this
// object refer to that one, and as whom does it act. The rules:
//
//   - every reference of every kind goes through [Checker.Reference]: source, chart, dependsOn, valuesFrom,
//     substituteFrom, decryption, kubeConfig, event source, webhook resource
//   - a Secret or ConfigMap is read in the namespace of the object that names it, never elsewhere
//   - whoever acts for an object acts as the identity that [Checker.ServiceAccount] returns; one that is there but wrong
//     is an error, for client-go sends no impersonation header at all for an empty user, and the request would be made
//     with the controller's own rights
//   - a name that is no legal Kubernetes name is refused before it becomes part of a path, a URL or a user name
package access

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Checker answers both questions. The zero value allows references across namespaces and impersonates nobody unless the
// object names a service account. It is safe for concurrent use.
type Checker struct {
	// NoCrossNamespace denies every reference that leaves the namespace of the object that holds it.
	NoCrossNamespace bool
	// DefaultServiceAccount is impersonated when an object names none, in the object's own namespace; empty for none.
	DefaultServiceAccount string
}

// DeniedError says that a rule forbids a reference. Controllers report it with Flux's reason AccessDenied, and stall.
type DeniedError struct {
	// Message names the reference and the rule, for the user.
	Message string
}

func (e *DeniedError) Error() string { return e.Message }

// Reference resolves a reference that an object in fromNamespace holds: an empty namespace stands for the object's own.
// It returns the namespace to read from, a [*DeniedError] when the reference leaves the namespace and may not, or a plain
// error when a part is no legal name.
func (c Checker) Reference(fromNamespace, kind, namespace, name string) (resolvedNamespace string, err error) {
	if namespace == "" {
		namespace = fromNamespace
	}
	if err := check("namespace", namespace, validation.IsDNS1123Label); err != nil {
		return "", fmt.Errorf("reference to %s: %w", kind, err)
	}
	if err := check("name", name, validation.IsDNS1123Subdomain); err != nil {
		return "", fmt.Errorf("reference to %s: %w", kind, err)
	}
	if c.NoCrossNamespace && namespace != fromNamespace {
		return "", &DeniedError{Message: fmt.Sprintf(
			"%s %s/%s is outside namespace %s, and references across namespaces are switched off here (--no-cross-namespace-refs)",
			kind, namespace, name, fromNamespace)}
	}
	return namespace, nil
}

// ServiceAccount returns the user to impersonate for an object in namespace that names a service account, or none.
// Impersonate is false only when neither the object nor the default names one; a name that is there but malformed is an
// error, so that a request never falls back to the controller's own rights.
func (c Checker) ServiceAccount(namespace, name string) (username string, impersonate bool, err error) {
	if name == "" {
		name = c.DefaultServiceAccount
	}
	if name == "" {
		return "", false, nil
	}
	if err := check("namespace", namespace, validation.IsDNS1123Label); err != nil {
		return "", false, fmt.Errorf("service account: %w", err)
	}
	if err := check("name", name, validation.IsDNS1123Subdomain); err != nil {
		return "", false, fmt.Errorf("service account: %w", err)
	}
	return "system:serviceaccount:" + namespace + ":" + name, true, nil
}

func check(part, value string, rule func(string) []string) error {
	if problems := rule(value); len(problems) > 0 {
		return fmt.Errorf("%s %.80q: %s", part, value, strings.Join(problems, "; "))
	}
	return nil
}
