package gittest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Repo is a repository of a server, with a checkout to commit from.
type Repo struct {
	// URL to clone from.
	URL string

	t    testing.TB
	bare string
	work string
}

// Repo creates an empty repository whose default branch is main.
func (s *Server) Repo(t testing.TB, name string) *Repo {
	t.Helper()
	return newRepo(t, s.root, s.URL, name)
}

// RepoOf is Repo with objects named by another hash than sha1.
func (s *Server) RepoOf(t testing.TB, name, hash string) *Repo {
	t.Helper()
	return newRepo(t, s.root, s.URL, name, "--object-format="+hash)
}

func newRepo(t testing.TB, root, url, name string, options ...string) *Repo {
	t.Helper()
	r := &Repo{
		t: t, URL: url + "/" + name + ".git",
		bare: filepath.Join(root, name+".git"), work: t.TempDir(),
	}
	r.run(root, append([]string{"init", "--quiet", "--bare", "--initial-branch=main", r.bare}, options...)...)
	r.Configure("receive.denyDeleteCurrent", "ignore")
	r.run(r.work, append([]string{"init", "--quiet", "--initial-branch=main"}, options...)...)
	r.Git("remote", "add", "origin", r.bare)
	return r
}

// Git runs git in the checkout and returns what it printed.
func (r *Repo) Git(args ...string) string {
	r.t.Helper()
	return r.run(r.work, args...)
}

// Configure sets an option of the server's repository.
func (r *Repo) Configure(key, value string) {
	r.t.Helper()
	r.run(r.bare, "config", key, value)
}

// Write writes files into the checkout; a name that ends with * is executable, and an empty content removes the file.
func (r *Repo) Write(files map[string]string) {
	r.t.Helper()
	for name, content := range files {
		mode := os.FileMode(0o600)
		if trimmed, ok := strings.CutSuffix(name, "*"); ok {
			name, mode = trimmed, 0o700
		}
		file := filepath.Join(r.work, name)
		if content == "" {
			if err := os.Remove(file); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			r.t.Fatal(err)
		}
	}
}

// Commit writes files, commits and pushes the current branch, by force, and returns the commit.
func (r *Repo) Commit(subject string, files map[string]string) string {
	r.t.Helper()
	r.Write(files)
	r.Git("add", "--all", "--force")
	r.Git("commit", "--quiet", "--allow-empty", "--message", subject)
	r.Push("HEAD")
	return r.Git("rev-parse", "HEAD")
}

// Path is where a file of the checkout is.
func (r *Repo) Path(name string) string { return filepath.Join(r.work, name) }

// Submodule lets a path be a commit of another repository, in what is committed next.
func (r *Repo) Submodule(path, url, commit string) {
	r.t.Helper()
	r.Git("update-index", "--add", "--cacheinfo", "160000,"+commit+","+path)
	// The folder of a submodule that is not checked out: without it, git takes the submodule for removed.
	if err := os.MkdirAll(r.Path(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	r.Git("config", "--file", ".gitmodules", "submodule."+path+".path", path)
	r.Git("config", "--file", ".gitmodules", "submodule."+path+".url", url)
}

// Import reads commits from a file in the format of git fast-import, and checks main out.
func (r *Repo) Import(file string) {
	r.t.Helper()
	in, err := os.Open(file)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	cmd := exec.CommandContext(r.t.Context(), "git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin = r.work, in
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git fast-import: %v\n%s", err, out)
	}
	r.Git("reset", "--quiet", "--hard", "refs/heads/main")
}

// Push pushes a reference by force.
func (r *Repo) Push(ref ...string) {
	r.t.Helper()
	r.Git(append([]string{"push", "--quiet", "--force", "origin"}, ref...)...)
}

// Forget makes the server's repository anew, empty.
func (r *Repo) Forget() {
	r.t.Helper()
	if err := os.RemoveAll(r.bare); err != nil {
		r.t.Fatal(err)
	}
	r.run(filepath.Dir(r.bare), "init", "--quiet", "--bare", "--initial-branch=main", r.bare)
}

func (r *Repo) run(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z",
	)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
