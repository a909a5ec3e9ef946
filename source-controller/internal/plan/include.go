package plan

import (
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// Reasons of problems with includes, which Flux's API has no constants for.
const (
	// ReasonNotFound: an included GitRepository does not exist.
	ReasonNotFound = "NotFound"
	// ReasonNoArtifact: an included GitRepository has no artifact yet.
	ReasonNoArtifact = "NoArtifact"
	// ReasonIncludeLoop: a GitRepository includes itself, by way of others perhaps.
	ReasonIncludeLoop = "IncludeLoop"
	// ReasonCopyFailure: what is included has no place, or is not there.
	ReasonCopyFailure = "CopyFailure"
)

// maxIncludes bounds how many GitRepositories one includes.
const maxIncludes = 64

// IncludeProblem is a problem with a GitRepository that is included, which is watched.
func IncludeProblem(reason, format string, args ...any) *Problem {
	p := AwaitedProblem(reason, format, args...)
	p.Condition = sourcev1.IncludeUnavailableCondition
	return p
}

// validateIncludes says what is wrong with how a spec includes others.
func validateIncludes(spec sourcev1.GitRepositorySpec) *Problem {
	if len(spec.Include) > maxIncludes {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.include has %d entries, and %d are taken; include from fewer repositories",
			len(spec.Include), maxIncludes))
	}
	for i, include := range spec.Include {
		if include.GitRepositoryRef.Name == "" {
			return terminal(FetchProblem(ReasonInvalidSpec, "spec.include[%d].repository.name is empty", i))
		}
		if from := include.GetFromPath(); from != "" && !insidePath(from) {
			return terminal(FetchProblem(ReasonInvalidSpec, "spec.include[%d].fromPath: %q leads out of the repository", i, from))
		}
		if to := include.GetToPath(); !insidePath(to) || path.Clean("/"+to) == "/" {
			return terminal(FetchProblem(ReasonInvalidSpec, "spec.include[%d].toPath: %q is not a directory inside the repository", i, to))
		}
	}
	return nil
}

// insidePath reports whether p names the root of a repository or something in it.
func insidePath(p string) bool {
	return !strings.Contains("/"+p+"/", "/../") && !strings.ContainsRune(p, 0)
}

// sameIncludes reports whether the stored artifact was made with what the spec includes, as that is now.
func sameIncludes(spec sourcev1.GitRepositorySpec, status sourcev1.GitRepositoryStatus, included []*meta.Artifact) bool {
	return slices.Equal(spec.Include, status.ObservedInclude) && slices.EqualFunc(included, status.IncludedArtifacts,
		func(now, then *meta.Artifact) bool {
			return then.HasRevision(now.Revision) && then.HasDigest(now.Digest)
		})
}
