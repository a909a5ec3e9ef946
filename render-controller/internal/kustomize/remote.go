package kustomize

import (
	"net/url"
	"regexp"
	"strings"
)

// login is how a reference such as git@host:org/repo starts.
var login = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)

// isRemote says whether kustomize would fetch an entry instead of reading it from the artifact, or whether a user who
// wrote it can only have meant that. It follows what kustomize tries, in api/internal/loader and api/internal/git: a URL
// with the scheme http or https, a git URL of any scheme, an scp-like address, and the short forms of github.com.
func isRemote(entry string) bool {
	lower := strings.ToLower(strings.TrimSpace(entry))
	if strings.Contains(lower, "://") || login.MatchString(lower) {
		return true
	}
	for _, prefix := range []string{"git::", "gh:", "github.com/", "github.com:", "http:", "https:", "ssh:", "file:", "oci:", "s3::", "gcs::"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	if strings.Contains(lower, "?ref=") || strings.Contains(lower, "?version=") || strings.Contains(lower, "&ref=") {
		return true
	}
	parsed, err := url.Parse(entry)
	return err == nil && (parsed.Scheme == "http" || parsed.Scheme == "https")
}
