package plan

import (
	"fmt"
	"sort"
	"strings"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

const (
	heads         = "refs/heads/"
	tags          = "refs/tags/"
	defaultBranch = "master"
)

// Advertised is what a repository says it has.
type Advertised struct {
	// Refs is the object that each reference points at, by full name.
	Refs map[string]string
	// Peeled is the commit behind each annotated tag, by full name of the tag.
	Peeled map[string]string
	// Head is the full name of the branch that HEAD points at; empty if the server does not say.
	Head string
}

// Target is the commit that a GitRepository asks for.
type Target struct {
	// Ref is the full name of the reference; empty when a commit is asked for by its hash alone.
	Ref string
	// Object is what the reference points at: a commit, or an annotated tag. Empty for a commit asked for by hash.
	Object string
	// Commit is the 40 digits of the commit.
	Commit string
	// Revision is how Flux writes it: main@sha1:<commit>, or sha1:<commit>.
	Revision string
}

// Pinned is the target of a reference that names a commit by its hash: what it is needs no asking. ok is false for
// every other reference.
func Pinned(ref *sourcev1.GitRepositoryRef) (t Target, ok bool) {
	if ref == nil || !isCommit(ref.Commit) {
		return Target{}, false
	}
	t = Target{Commit: ref.Commit}
	if ref.Branch != "" {
		t.Ref = heads + ref.Branch
	}
	t.Revision = Revision(t.Ref, t.Commit)
	return t, true
}

// Resolve finds what a reference asks for, with Flux's precedence: commit, name, tag, semver, branch, and the branch
// master when nothing is set. (Flux documents semver before tag, and does it like this.)
func Resolve(ref *sourcev1.GitRepositoryRef, adv Advertised) (Target, *Problem) {
	if ref == nil {
		ref = &sourcev1.GitRepositoryRef{}
	}
	if t, ok := Pinned(ref); ok {
		if t.Ref != "" && adv.Refs[t.Ref] == "" {
			return Target{}, adv.missing(t.Ref)
		}
		return t, nil
	}
	switch {
	case ref.Name != "":
		return adv.target(ref.Name, ref.Name)
	case ref.Tag != "":
		return adv.target(tags+ref.Tag, "")
	case ref.SemVer != "":
		return adv.newest(ref.SemVer)
	case ref.Branch != "":
		return adv.target(heads+ref.Branch, "")
	}
	return adv.target(heads+defaultBranch, "")
}

// Revision is how Flux writes a commit and the reference it was found by, which may be empty.
func Revision(ref, commit string) string {
	if short := shortName(ref); short != "" {
		return short + "@sha1:" + commit
	}
	return "sha1:" + commit
}

// CommitOf is the commit that a revision names; empty if it names none.
func CommitOf(revision string) string {
	_, commit, ok := strings.Cut(revision, "sha1:")
	if !ok || !isCommit(commit) {
		return ""
	}
	return commit
}

// shortName is a reference from its third element on: main for refs/heads/main.
func shortName(ref string) string {
	parts := strings.SplitN(ref, "/", 3)
	if len(parts) < 3 || parts[0] != "refs" {
		return ref
	}
	return parts[2]
}

func (a Advertised) target(ref, shown string) (Target, *Problem) {
	object := a.Refs[ref]
	if object == "" {
		return Target{}, a.missing(ref)
	}
	commit := object
	if peeled := a.Peeled[ref]; peeled != "" {
		commit = peeled
	}
	t := Target{Ref: ref, Object: object, Commit: commit, Revision: Revision(ref, commit)}
	if shown != "" {
		t.Revision = shown + "@sha1:" + commit
	}
	return t, nil
}

func (a Advertised) newest(expr string) (Target, *Problem) {
	constraint, err := semver.NewConstraint(expr)
	if err != nil {
		return Target{}, terminal(FetchProblem(sourcev1.GitOperationFailedReason, "spec.ref.semver: %q is not a version range", expr))
	}
	type candidate struct {
		ref     string
		version *semver.Version
	}
	var found []candidate
	for ref := range a.Refs {
		name, isTag := strings.CutPrefix(ref, tags)
		if !isTag {
			continue
		}
		v, err := semver.StrictNewVersion(strings.TrimPrefix(name, "v"))
		if err == nil && constraint.Check(v) {
			found = append(found, candidate{ref, v})
		}
	}
	if len(found) == 0 {
		return Target{}, FetchProblem(sourcev1.GitOperationFailedReason,
			"spec.ref.semver: no tag of the repository matches %q", expr)
	}
	// Equal versions, as v1.2.3 and 1.2.3, are told apart by name, so that every attempt picks the same.
	sort.Slice(found, func(i, j int) bool {
		if c := found[i].version.Compare(found[j].version); c != 0 {
			return c > 0
		}
		return found[i].ref > found[j].ref
	})
	return a.target(found[0].ref, "")
}

func (a Advertised) missing(ref string) *Problem {
	what := fmt.Sprintf("reference %q", ref)
	hint := ""
	if name, ok := strings.CutPrefix(ref, tags); ok {
		what = fmt.Sprintf("tag %q", name)
	}
	if name, ok := strings.CutPrefix(ref, heads); ok {
		what = fmt.Sprintf("branch %q", name)
		if head := shortName(a.Head); head != "" && head != name {
			hint = fmt.Sprintf("; its default branch is %q", head)
		}
	}
	return FetchProblem(sourcev1.GitOperationFailedReason,
		"%s does not exist in the repository%s: correct spec.ref, or push it", what, hint)
}
