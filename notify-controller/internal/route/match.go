package route

import (
	"regexp"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"

	"github.com/sluice-gitops/sluice/api/event"
)

// Labels reads the labels of the object an event is about.
type Labels func() (map[string]string, error)

// Selects reports whether the rule selects the event. Labels is called only when an answer depends on it; its error is
// returned, and then nothing is known.
func (r *Rule) Selects(ev event.Event, labels Labels) (bool, error) {
	if r.suspended || r.errorsOnly && ev.Severity != eventv1.EventSeverityError {
		return false, nil
	}
	if r.Problem == "" && !r.wants(ev.Message) {
		return false, nil
	}
	var byLabel []source
	for _, src := range r.sources {
		switch {
		case !src.names(ev):
		case len(src.labels) == 0:
			return true, nil
		default:
			byLabel = append(byLabel, src)
		}
	}
	if len(byLabel) == 0 {
		return false, nil
	}
	have, err := labels()
	if err != nil {
		return false, err
	}
	for _, src := range byLabel {
		if contains(have, src.labels) {
			return true, nil
		}
	}
	return false, nil
}

func (r *Rule) wants(message string) bool {
	if matchesOne(r.exclude, message) {
		return false
	}
	return len(r.include) == 0 || matchesOne(r.include, message)
}

func (s source) names(ev event.Event) bool {
	object := ev.InvolvedObject
	return s.kind == object.Kind && s.namespace == object.Namespace && (s.name == wildcard || s.name == object.Name)
}

func matchesOne(patterns []*regexp.Regexp, message string) bool {
	for _, pattern := range patterns {
		if pattern.MatchString(message) {
			return true
		}
	}
	return false
}

func contains(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}
