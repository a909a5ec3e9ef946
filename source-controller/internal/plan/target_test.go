package plan_test

import (
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

func hash(digit string) string { return strings.Repeat(digit, 40) }

func advertised() plan.Advertised {
	return plan.Advertised{
		Refs: map[string]string{
			"HEAD": hash("1"), "refs/heads/main": hash("1"), "refs/heads/feature/x": hash("2"), "refs/heads/master": hash("9"),
			"refs/tags/v1.0.0": hash("3"), "refs/tags/v1.2.0": hash("4"), "refs/tags/1.2.0": hash("5"),
			"refs/tags/v2.0.0-rc.1": hash("6"), "refs/tags/latest": hash("7"), "refs/tags/1.10": hash("8"),
			"refs/pull/1/head": hash("a"),
		},
		Peeled: map[string]string{"refs/tags/v1.0.0": hash("b")},
		Head:   "refs/heads/main",
	}
}

func TestResolve(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		ref     *sourcev1.GitRepositoryRef
		want    string
		object  string
		problem string
	}{
		"nothing": {
			reason: "Flux's default is the branch master",
			want:   "master@sha1:" + hash("9"), object: hash("9"),
		},
		"branch": {
			reason: "the short name is everything after refs/heads/",
			ref:    &sourcev1.GitRepositoryRef{Branch: "feature/x"},
			want:   "feature/x@sha1:" + hash("2"), object: hash("2"),
		},
		"annotated tag": {
			reason: "the revision names the commit; what is asked for is the tag",
			ref:    &sourcev1.GitRepositoryRef{Tag: "v1.0.0", Branch: "main"},
			want:   "v1.0.0@sha1:" + hash("b"), object: hash("3"),
		},
		"range": {
			reason: "the newest; equal versions are told apart by name",
			ref:    &sourcev1.GitRepositoryRef{SemVer: ">=1.0.0", Branch: "main"},
			want:   "v1.2.0@sha1:" + hash("4"), object: hash("4"),
		},
		"tag over range": {
			reason: "as Flux does; its documentation says the opposite",
			ref:    &sourcev1.GitRepositoryRef{SemVer: ">=1.0.0", Tag: "v1.0.0"},
			want:   "v1.0.0@sha1:" + hash("b"), object: hash("3"),
		},
		"range with prereleases": {
			reason: "a prerelease counts only if the range mentions one",
			ref:    &sourcev1.GitRepositoryRef{SemVer: ">=1.0.0-0"},
			want:   "v2.0.0-rc.1@sha1:" + hash("6"), object: hash("6"),
		},
		"name over range": {
			reason: "a full name stays as it is in the revision",
			ref:    &sourcev1.GitRepositoryRef{Name: "refs/pull/1/head", SemVer: "*"},
			want:   "refs/pull/1/head@sha1:" + hash("a"), object: hash("a"),
		},
		"commit over all": {
			reason: "a commit wins over everything",
			ref:    &sourcev1.GitRepositoryRef{Commit: hash("c"), Name: "refs/pull/1/head"},
			want:   "sha1:" + hash("c"),
		},
		"commit on a branch": {
			reason: "the branch shows in the revision",
			ref:    &sourcev1.GitRepositoryRef{Commit: hash("c"), Branch: "main"},
			want:   "main@sha1:" + hash("c"),
		},
		"commit on a missing branch": {
			reason: "the branch must exist", ref: &sourcev1.GitRepositoryRef{Commit: hash("c"), Branch: "gone"},
			problem: `branch "gone" does not exist`,
		},
		"missing branch": {
			reason:  "the message helps with the usual mistake",
			ref:     &sourcev1.GitRepositoryRef{Branch: "develop"},
			problem: `branch "develop" does not exist in the repository; its default branch is "main"`,
		},
		"missing tag":       {reason: "named", ref: &sourcev1.GitRepositoryRef{Tag: "v9"}, problem: `tag "v9" does not exist`},
		"missing reference": {reason: "named", ref: &sourcev1.GitRepositoryRef{Name: "refs/x/y"}, problem: `reference "refs/x/y"`},
		"no match":          {reason: "named", ref: &sourcev1.GitRepositoryRef{SemVer: ">=3.0.0"}, problem: `no tag of the repository matches ">=3.0.0"`},
		"no range":          {reason: "named", ref: &sourcev1.GitRepositoryRef{SemVer: "new!"}, problem: `"new!" is not a version range`},
	} {
		t.Run(name, func(t *testing.T) {
			got, problem := plan.Resolve(tc.ref, advertised())
			if tc.problem != "" {
				if problem == nil || !strings.Contains(problem.Message, tc.problem) {
					t.Errorf("got %+v, want %q (%s)", problem, tc.problem, tc.reason)
				}
				return
			}
			if problem != nil || got.Revision != tc.want || got.Object != tc.object {
				t.Errorf("got %+v, %v, want %s (%s)", got, problem, tc.want, tc.reason)
			}
			if plan.CommitOf(got.Revision) != got.Commit {
				t.Errorf("the commit of %s is %s", got.Revision, plan.CommitOf(got.Revision))
			}
		})
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("main", "", "", "", "")
	f.Add("", "v1.0.0", ">=1.0.0 <2", "refs/heads/main", hash("c"))
	f.Add("", "", "^1 || ~2", "", "short")
	f.Fuzz(func(t *testing.T, branch, tag, semver, name, commit string) {
		ref := &sourcev1.GitRepositoryRef{Branch: branch, Tag: tag, SemVer: semver, Name: name, Commit: commit}
		target, problem := plan.Resolve(ref, advertised())
		if (problem == nil) != (target.Revision != "") {
			t.Errorf("%+v: %+v, %v", ref, target, problem)
		}
		if problem == nil && plan.CommitOf(target.Revision) != target.Commit {
			t.Errorf("%s does not name %s", target.Revision, target.Commit)
		}
	})
}
