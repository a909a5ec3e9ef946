package plan

import (
	"net/url"
	"path"
	"regexp"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// Validate says why a GitRepository cannot be served as it is written; nil if it can. Whatever cannot be is refused by name:
// nothing that was asked for is left out in silence.
func Validate(spec sourcev1.GitRepositorySpec) *Problem {
	if p := validateURL(spec.URL); p != nil {
		return p
	}
	if p := validateProvider(spec); p != nil {
		return p
	}
	for _, dir := range spec.SparseCheckout {
		if !localPath(dir) {
			return terminal(FetchProblem(ReasonInvalidSpec, "spec.sparseCheckout: %q is not a directory inside the repository", dir))
		}
	}
	if p := validateIncludes(spec); p != nil {
		return p
	}
	if p := validateVerification(spec); p != nil {
		return p
	}
	if spec.Interval.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.interval: %s is not a positive duration", spec.Interval.Duration))
	}
	if spec.Timeout != nil && spec.Timeout.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.timeout: %s is not a positive duration", spec.Timeout.Duration))
	}
	return validateRef(spec.Reference)
}

// schemeSSH is the one scheme of addresses that are not HTTP's.
const schemeSSH = "ssh"

// OverSSH reports whether a repository's address is one for SSH, which takes other credentials than HTTP.
func OverSSH(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == schemeSSH
}

// scpAddress is user@host:path, which is no URL: a port and the beginning of a path cannot be told apart in it.
var scpAddress = regexp.MustCompile(`^([^@/:]+@)?[^@/:]+:([^/]|/[^/]|/?$)`)

func validateURL(raw string) *Problem {
	invalid := func(why string) *Problem {
		return terminal(FetchProblem(sourcev1.URLInvalidReason, "spec.url: %s", why))
	}
	if scpAddress.MatchString(raw) {
		return invalid("this is how scp writes an address; write it as ssh://user@host/path")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return invalid("not a URL; write it as https://host/path or ssh://git@host/path")
	}
	switch u.Scheme {
	case "http", "https", schemeSSH:
	default:
		return invalid("the scheme must be https, http or ssh")
	}
	if u.Hostname() == "" {
		return invalid("it names no host; write it as https://host/path")
	}
	if _, set := u.User.Password(); set {
		return invalid("it contains a password; move it to the Secret in spec.secretRef")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return invalid("a query or a fragment is not part of a repository's address; remove it")
	}
	return nil
}

func validateRef(ref *sourcev1.GitRepositoryRef) *Problem {
	if ref == nil {
		return nil
	}
	if ref.Commit != "" && !isCommit(ref.Commit) {
		return terminal(FetchProblem(sourcev1.GitOperationFailedReason,
			"spec.ref.commit: %q is not a full commit hash (40 hexadecimal digits, lower case)", ref.Commit))
	}
	if ref.Name != "" && ref.Commit == "" && !strings.HasPrefix(ref.Name, "refs/") && ref.Name != "HEAD" {
		return terminal(FetchProblem(sourcev1.GitOperationFailedReason,
			"spec.ref.name: %q is not a full reference such as refs/heads/main", ref.Name))
	}
	return nil
}

func isCommit(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// localPath reports whether p is a relative path that stays inside its root.
func localPath(p string) bool {
	clean := path.Clean("/" + p)
	return p != "" && clean != "/" && !strings.HasPrefix(p, "/") && !strings.Contains("/"+p+"/", "/../")
}

// chartPath reports whether p names the source or something in it. However the source itself is written (".", "./.", "/", "a/.."),
// it is a place for a chart; a leading slash stands for it, as in Flux.
func chartPath(p string) bool {
	clean := path.Clean(strings.TrimLeft(p, "/"))
	return p != "" && clean != ".." && !strings.HasPrefix(clean, "../")
}
