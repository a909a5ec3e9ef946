// Package route decides which Alerts select an event, and what the notification then says. An Alert is compiled once
// per version into a [Rule]; matching is pure.
package route

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/event"
)

// Limits of an Alert, so that nobody's Alert can slow down everybody's routing.
const (
	// MaxPatterns is how many patterns an inclusion or exclusion list may have.
	MaxPatterns = 64
	// MaxPattern is how long one may be, in bytes.
	MaxPattern = 1024
	// MaxSources is how many event sources an Alert may have.
	MaxSources = 512
)

const wildcard = "*"

// Ref names one version-independent object.
type Ref struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
}

// String is namespace/name.
func (r Ref) String() string { return r.Namespace + "/" + r.Name }

// Rule is an Alert ready for matching. It is immutable and safe for concurrent use.
type Rule struct {
	// Alert the rule was made from.
	Alert Ref
	// Provider is the name of the Provider, in the Alert's namespace.
	Provider string
	// Problem says why the Alert cannot be obeyed; empty when it can. What the sources of such an Alert select becomes a
	// dead letter.
	Problem string
	// Denied lists event sources that the cross-namespace rule forbids; they select nothing.
	Denied []string

	suspended  bool
	errorsOnly bool
	sources    []source
	include    []*regexp.Regexp
	exclude    []*regexp.Regexp
	metadata   map[string]string
	summary    string
}

type source struct {
	kind, namespace, name string
	labels                map[string]string
}

// Compile makes the rule of an Alert. What is wrong with the Alert is in Rule.Problem and Rule.Denied.
func Compile(alert *notificationv1beta3.Alert, refs access.Checker) *Rule {
	rule := &Rule{
		Alert:      Ref{Namespace: alert.Namespace, Name: alert.Name, UID: alert.UID},
		Provider:   alert.Spec.ProviderRef.Name,
		suspended:  alert.Spec.Suspend,
		errorsOnly: alert.Spec.EventSeverity == eventv1.EventSeverityError,
		metadata:   alert.Spec.EventMetadata,
		summary:    alert.Spec.Summary,
	}
	var problems []error
	if rule.Provider == "" {
		problems = append(problems, errors.New("spec.providerRef.name is empty"))
	}
	var err error
	if rule.include, err = compileList("inclusionList", alert.Spec.InclusionList); err != nil {
		problems = append(problems, err)
	}
	if rule.exclude, err = compileList("exclusionList", alert.Spec.ExclusionList); err != nil {
		problems = append(problems, err)
	}
	if err := rule.addSources(alert.Spec.EventSources, refs); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		rule.Problem = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return rule
}

func (r *Rule) addSources(refs []notificationv1.CrossNamespaceObjectReference, checker access.Checker) error {
	if len(refs) > MaxSources {
		return fmt.Errorf("spec.eventSources has %d entries, at most %d are allowed", len(refs), MaxSources)
	}
	var problems []error
	for i, ref := range refs {
		name := ref.Name
		if name == wildcard {
			name = "any" // the wildcard is no object's name; only the namespace is asked about
		}
		namespace, err := checker.Reference(r.Alert.Namespace, ref.Kind, ref.Namespace, name)
		var denied *access.DeniedError
		switch {
		case errors.As(err, &denied):
			r.Denied = append(r.Denied, fmt.Sprintf("%s/%s/%s", ref.Kind, ref.Namespace, ref.Name))
		case err != nil:
			problems = append(problems, fmt.Errorf("spec.eventSources[%d]: %w", i, err))
		default:
			r.sources = append(r.sources, source{kind: ref.Kind, namespace: namespace, name: ref.Name, labels: ref.MatchLabels})
		}
	}
	return errors.Join(problems...)
}

func compileList(field string, patterns []string) ([]*regexp.Regexp, error) {
	if len(patterns) > MaxPatterns {
		return nil, fmt.Errorf("spec.%s has %d entries, at most %d are allowed", field, len(patterns), MaxPatterns)
	}
	compiled := make([]*regexp.Regexp, 0, len(patterns))
	for i, pattern := range patterns {
		if len(pattern) > MaxPattern {
			return nil, fmt.Errorf("spec.%s[%d] has %d bytes, at most %d are allowed", field, i, len(pattern), MaxPattern)
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("spec.%s[%d]: %s", field, i, event.Shorten(err.Error(), 200))
		}
		compiled = append(compiled, re)
	}
	return compiled, nil
}
