package plan

import (
	"fmt"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ValidateHelmRepository says why a HelmRepository that is served over HTTP cannot be served as it is written; nil if it can.
func ValidateHelmRepository(spec sourcev1.HelmRepositorySpec) *Problem {
	if p := validateRepositoryURL(spec.URL); p != nil {
		return p
	}
	if spec.Interval.Duration < 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.interval: %s is not a positive duration", spec.Interval.Duration))
	}
	if spec.Timeout != nil && spec.Timeout.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.timeout: %s is not a positive duration", spec.Timeout.Duration))
	}
	return nil
}

func validateRepositoryURL(raw string) *Problem {
	invalid := func(why string) *Problem {
		return terminal(FetchProblem(sourcev1.URLInvalidReason, "spec.url: %s", why))
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return invalid("not a URL; write it as https://host/path")
	case u.Scheme == "oci":
		return invalid("a repository in a registry has to be of another type; set spec.type to oci")
	case u.Scheme != "http" && u.Scheme != "https":
		return invalid("the scheme must be https or http")
	case u.Hostname() == "":
		return invalid("it names no host; write it as https://host/path")
	case u.User != nil:
		return invalid("it contains a user; move the credentials to the Secret in spec.secretRef")
	case u.Fragment != "":
		return invalid("a fragment is not part of a repository's address; remove it")
	}
	return nil
}

// IndexMessage is what the conditions say about an index that is stored, and about what was left out of it, if anything was.
func IndexMessage(revision, notice string) string {
	text := fmt.Sprintf("stored artifact: revision '%s'", revision)
	if notice != "" {
		text += "; " + notice
	}
	return text
}

// KeptIndexMessage is what they said when it was stored. An index is not read again to find out.
func KeptIndexMessage(before []metav1.Condition, revision string) string {
	text := IndexMessage(revision, "")
	if c := apimeta.FindStatusCondition(before, sourcev1.ArtifactInStorageCondition); c != nil && strings.HasPrefix(c.Message, text+"; ") {
		return c.Message
	}
	return text
}

// NormalURL is the address of a Helm repository as two that are the same are written the same: HTTP paths end with a slash, those
// in a registry without. It is empty for what is none.
func NormalURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	switch u.Scheme {
	case "oci":
	case "http", "https":
		u.Path += "/"
		if u.RawPath != "" {
			u.RawPath += "/"
		}
	default:
		return ""
	}
	return u.String()
}

// ReadableSize is a number of bytes as Flux writes it.
func ReadableSize(bytes int64) string {
	size, units := float64(bytes), []string{"B", "kB", "MB", "GB"}
	for size >= 1000 && len(units) > 1 {
		size, units = size/1000, units[1:]
	}
	return fmt.Sprintf("%.4g%s", size, units[0])
}
