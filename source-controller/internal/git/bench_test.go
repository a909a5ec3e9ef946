package git_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

const (
	// history is how many commits the repository has, each of which changes one of its files; followed how many come then.
	history, followed = 1000, 20
	// manifests of manifestSize bytes, which do not compress much, are 50 MB.
	manifests, manifestSize = 500, 100_000
)

// BenchmarkFollow follows 20 new commits of a repository of 50 MB and 1,000 commits, one poll each, and compares what the server
// sent with what a fresh shallow clone of each commit takes. (The commits are the same in each round: it is the bytes that count.)
func BenchmarkFollow(b *testing.B) {
	repo := gittest.New(b).Repo(b, "fleet")
	fillHistory(b, repo)
	for b.Loop() {
		dir := b.TempDir()
		var increments, fresh int64
		clone, done := benchClone(b, dir)
		follow(b, clone, repo)
		for i := range followed {
			commitOne(b, repo, history+i)
			increments += follow(b, clone, repo)
			single, closeSingle := benchClone(b, b.TempDir())
			fresh += follow(b, single, repo)
			closeSingle()
		}
		done()
		b.ReportMetric(float64(increments)/followed, "bytes/commit")
		b.ReportMetric(float64(fresh)/followed, "bytes/fresh-clone")
		b.ReportMetric(float64(fresh)/float64(increments), "times-fewer")
		if increments*20 > fresh {
			b.Errorf("%d bytes for %d commits, and %d when each is cloned afresh: less than 20 times fewer", increments, followed, fresh)
		}
	}
}

func benchClone(b *testing.B, dir string) (*git.Clone, func()) {
	b.Helper()
	cache, err := git.OpenCache(dir)
	if err != nil {
		b.Fatal(err)
	}
	clone, err := cache.Clone(b.Context(), git.Upstream{Namespace: "a"}, "uid")
	if err != nil {
		b.Fatal(err)
	}
	return clone, func() {
		if err := clone.Close(); err != nil {
			b.Error(err)
		}
	}
}

// follow fetches what main is now, and returns how many bytes the server sent.
func follow(b *testing.B, clone *git.Clone, repo *gittest.Repo) int64 {
	b.Helper()
	s, err := git.NewClient(git.DefaultLimits()).Open(repo.URL, git.Credentials{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	target, err := advertised(b.Context(), s, mainBranch())
	if err == nil {
		err = clone.Fetch(b.Context(), s, target)
	}
	if err != nil {
		b.Fatal(err)
	}
	return s.Received()
}

// manifest is a file at a revision: text of which a tenth changes with each.
func manifest(file, revision int) []byte {
	stable, moving := rand.New(rand.NewSource(int64(file))), rand.New(rand.NewSource(int64(revision)))
	var out bytes.Buffer
	for out.Len() < manifestSize {
		source := stable
		if out.Len() < 200 {
			source = moving
		}
		fmt.Fprintf(&out, "value: %016x%016x%016x\n", source.Uint64(), source.Uint64(), source.Uint64())
	}
	return out.Bytes()
}

// fillHistory makes the repository by git fast-import: the first commit has all files.
func fillHistory(b *testing.B, repo *gittest.Repo) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "import")
	out, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	for i := range history {
		fmt.Fprintf(out, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 1\nx\n", 1767225600+i)
		first, last := i%manifests, i%manifests
		if i == 0 {
			first, last = 0, manifests-1
		}
		for m := first; m <= last; m++ {
			content := manifest(m, i)
			fmt.Fprintf(out, "M 100644 inline apps/%03d/manifest.yaml\ndata %d\n%s\n", m, len(content), content)
		}
	}
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
	repo.Import(file)
	repo.Push("refs/heads/main")
}

// commitOne commits one more change.
func commitOne(b *testing.B, repo *gittest.Repo, revision int) {
	b.Helper()
	repo.Commit("next", map[string]string{fmt.Sprintf("apps/%03d/manifest.yaml", revision%manifests): string(manifest(revision%manifests, revision))})
}
