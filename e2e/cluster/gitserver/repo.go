package gitserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultBranch is the branch that HEAD names in a new repository.
const DefaultBranch = "main"

const (
	defaultAuthor = "Ada Example <ada@example.com>"
	defaultMode   = "100644"
)

// Repo is a bare repository that a Server serves. Methods take turns.
type Repo struct {
	// Name is the repository's, URL where it is cloned from, Dir where it lies.
	Name, URL, Dir string

	git     git
	mu      sync.Mutex
	commits int
}

// CommitOptions say where a commit goes and what it carries besides files.
type CommitOptions struct {
	// Branch is created if it does not exist. Empty means DefaultBranch.
	Branch string
	// Parent is any revision; empty means the branch's head. Another parent than
	// the head rewrites the branch, as a force push does.
	Parent string
	// Orphan starts a new history instead.
	Orphan bool
	// Author is "Name <mail>".
	Author string
	// Date is author and committer date. Zero means 2026-01-01 plus a minute per
	// commit made through this Repo, so that equal steps give equal commit ids.
	Date time.Time
	// Modes are Git file modes by path where they are not 100644: 100755 for
	// programs, 120000 for symbolic links (the file's content is the target).
	Modes map[string]string
}

// Repo opens a repository, creating an empty one if there is none. name may
// contain slashes, as in "team/app".
func (s *Server) Repo(ctx context.Context, name string) (*Repo, error) {
	dir := filepath.Join(s.root, filepath.FromSlash(name)+".git")
	repo := &Repo{Name: name, URL: s.URL(name), Dir: dir, git: s.git}
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
		return repo, nil
	}
	steps := [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=" + DefaultBranch, dir},
		{"-C", dir, "config", "http.receivepack", "true"},
		{"-C", dir, "config", "uploadpack.allowAnySHA1InWant", "true"},
		{"-C", dir, "config", "uploadpack.allowFilter", "true"},
		{"-C", dir, "config", "gc.auto", "0"},
	}
	for _, args := range steps {
		if _, err := s.git.run(ctx, s.root, "", args...); err != nil {
			return nil, fmt.Errorf("create repository %s: %w", name, err)
		}
	}
	return repo, nil
}

// Commit writes files by path on top of what the parent holds, nil content
// deleting one, and returns the new commit's id. No other file changes.
func (r *Repo) Commit(ctx context.Context, message string, files map[string]*string, opts CommitOptions) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if opts.Branch == "" {
		opts.Branch = DefaultBranch
	}
	if opts.Author == "" {
		opts.Author = defaultAuthor
	}
	if opts.Date.IsZero() {
		opts.Date = time.Date(2026, 1, 1, 0, r.commits, 0, 0, time.UTC)
	}
	if opts.Parent == "" && !opts.Orphan {
		opts.Parent, _ = r.resolve(ctx, "refs/heads/"+opts.Branch) // the first commit has none
	}
	id, err := r.git.run(ctx, r.Dir, importStream(message, files, opts), "fast-import", "--quiet", "--force", "--date-format=raw")
	if err != nil {
		return "", fmt.Errorf("commit to %s: %w", r.Name, err)
	}
	r.commits++
	return id, nil
}

// importStream writes a commit in the language of git fast-import, which makes
// any number of files one process.
func importStream(message string, files map[string]*string, opts CommitOptions) string {
	var b strings.Builder
	who := fmt.Sprintf("%s %d +0000", opts.Author, opts.Date.Unix())
	fmt.Fprintf(&b, "reset refs/heads/%s\n", opts.Branch)
	fmt.Fprintf(&b, "commit refs/heads/%s\nmark :1\nauthor %s\ncommitter %s\n", opts.Branch, who, who)
	fmt.Fprintf(&b, "data %d\n%s\n", len(message), message)
	if opts.Parent != "" {
		fmt.Fprintf(&b, "from %s\n", opts.Parent)
	}
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		content := files[path]
		if content == nil {
			fmt.Fprintf(&b, "D %s\n", quote(path))
			continue
		}
		mode := opts.Modes[path]
		if mode == "" {
			mode = defaultMode
		}
		fmt.Fprintf(&b, "M %s inline %s\ndata %d\n%s\n", mode, quote(path), len(*content), *content)
	}
	b.WriteString("\nget-mark :1\n")
	return b.String()
}

// quote writes a path as fast-import reads it back unchanged.
func quote(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}

// Head returns the commit id at the head of a branch.
func (r *Repo) Head(ctx context.Context, branch string) (string, error) {
	id, err := r.resolve(ctx, "refs/heads/"+branch)
	if err != nil {
		return "", fmt.Errorf("head of %s in %s: %w", branch, r.Name, err)
	}
	return id, nil
}

// Branch creates a branch at revision, or moves it there whatever it held, as a
// force push does.
func (r *Repo) Branch(ctx context.Context, name, revision string) error {
	return r.update(ctx, "move branch", "refs/heads/"+name, revision)
}

// DeleteBranch deletes a branch.
func (r *Repo) DeleteBranch(ctx context.Context, name string) error {
	return r.delete(ctx, "refs/heads/"+name)
}

// Tag creates a lightweight tag at revision, or moves it there.
func (r *Repo) Tag(ctx context.Context, name, revision string) error {
	return r.update(ctx, "move tag", "refs/tags/"+name, revision)
}

// AnnotatedTag creates a tag object with a message, replacing a tag of that name.
func (r *Repo) AnnotatedTag(ctx context.Context, name, revision, message string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.git.run(ctx, r.Dir, "", "tag", "--force", "--annotate", "--message="+message, name, revision); err != nil {
		return fmt.Errorf("tag %s in %s: %w", name, r.Name, err)
	}
	return nil
}

// DeleteTag deletes a tag.
func (r *Repo) DeleteTag(ctx context.Context, name string) error {
	return r.delete(ctx, "refs/tags/"+name)
}

func (r *Repo) update(ctx context.Context, what, ref, revision string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.git.run(ctx, r.Dir, "", "update-ref", ref, revision); err != nil {
		return fmt.Errorf("%s %s in %s: %w", what, ref, r.Name, err)
	}
	return nil
}

func (r *Repo) delete(ctx context.Context, ref string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.git.run(ctx, r.Dir, "", "update-ref", "-d", ref); err != nil {
		return fmt.Errorf("delete %s in %s: %w", ref, r.Name, err)
	}
	return nil
}

func (r *Repo) resolve(ctx context.Context, revision string) (string, error) {
	return r.git.run(ctx, r.Dir, "", "rev-parse", "--verify", "--quiet", revision+"^{commit}")
}
