package pack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
)

const (
	maxIgnoreFile = 256 << 10
	maxPatterns   = 10_000
)

// rules decide what of a tree goes in.
type rules struct {
	matcher gitignore.Matcher
	sparse  []string
}

// readTree walks the tree, checks its paths and size, and reads its .sourceignore files; it opens no other. As soon as
// there is any pattern of the user's own, of the defaults only those for version control stay. What comes later wins: the
// file of a folder over that of the folder it is in, and spec.ignore over all.
func readTree(ctx context.Context, tree Tree, o Options) ([]Entry, rules, error) {
	c := collector{limits: o.Limits, sparse: cleanSparse(o.Sparse), folders: map[string]bool{}, chosen: o.Chosen}
	if err := tree.Walk(ctx, c.visit); err != nil {
		return nil, rules{}, err
	}
	if o.Chosen {
		return c.entries, rules{matcher: sourceignore.NewMatcher(nil)}, nil
	}
	for _, dir := range c.sparse {
		if !c.folders[dir] {
			return nil, rules{}, fmt.Errorf("%w in the repository: %s", ErrNoFolder, shown(dir))
		}
	}
	if o.Ignore != nil {
		if err := c.read(strings.NewReader(*o.Ignore), nil, maxDepth); err != nil {
			return nil, rules{}, fmt.Errorf("read spec.ignore: %w", err)
		}
	}
	if c.count == 0 {
		return c.entries, rules{matcher: sourceignore.NewDefaultMatcher(nil, nil), sparse: c.sparse}, nil
	}
	patterns := sourceignore.VCSPatterns(nil)
	for _, atDepth := range c.patterns {
		patterns = append(patterns, atDepth...)
	}
	return c.entries, rules{matcher: sourceignore.NewMatcher(patterns), sparse: c.sparse}, nil
}

func (r rules) excluded(p string, dir bool) bool {
	if !inSparse(r.sparse, p, dir) {
		return true
	}
	return r.matcher.Match(strings.Split(p, "/"), dir)
}

// collector takes in a tree.
type collector struct {
	limits  Limits
	entries []Entry
	// patterns are those of folders by how deep they are, and then those of spec.ignore; count is how many they are. In a
	// walk some folders come before their parent's file.
	patterns [maxDepth + 1][]gitignore.Pattern
	count    int
	sparse   []string
	folders  map[string]bool
	chosen   bool
}

func (c *collector) visit(e Entry) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if c.entries = append(c.entries, e); len(c.entries) > c.limits.Files {
		return fmt.Errorf("%w: the tree has more than %d entries", ErrTooLarge, c.limits.Files)
	}
	if e.Kind == Dir {
		c.note(e.Path)
		return nil
	}
	regular := e.Kind == Regular || e.Kind == Executable
	if c.chosen || !regular || path.Base(e.Path) != sourceignore.IgnoreFile || !inSparse(c.sparse, e.Path, false) {
		return nil
	}
	return c.readFile(e)
}

func (c *collector) note(dir string) {
	for _, wanted := range c.sparse {
		if dir == wanted {
			c.folders[dir] = true
		}
	}
}

func (c *collector) readFile(e Entry) (err error) {
	content, size, err := e.Open()
	if err != nil {
		return fmt.Errorf("read %s: %w", shown(e.Path), err)
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	if size > maxIgnoreFile {
		return fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, shown(e.Path), maxIgnoreFile)
	}
	var domain []string
	if dir := path.Dir(e.Path); dir != "." {
		domain = strings.Split(dir, "/")
	}
	if err := c.read(io.LimitReader(content, maxIgnoreFile), domain, len(domain)); err != nil {
		return fmt.Errorf("read %s: %w", shown(e.Path), err)
	}
	return nil
}

// read adds the patterns of one file, which hold below the folder that domain names, to those of a depth.
func (c *collector) read(r io.Reader, domain []string, depth int) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		if c.count++; c.count > maxPatterns {
			return fmt.Errorf("%w: more than %d ignore patterns", ErrTooLarge, maxPatterns)
		}
		c.patterns[depth] = append(c.patterns[depth], gitignore.ParsePattern(line, domain))
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("a line is too long: %w", err)
	}
	return nil
}

func cleanSparse(dirs []string) []string {
	var clean []string
	for _, dir := range dirs {
		clean = append(clean, strings.TrimPrefix(path.Clean("/"+dir), "/"))
	}
	return clean
}

// inSparse reports whether an entry lies in one of the folders, or is a folder on the way to one.
func inSparse(sparse []string, p string, dir bool) bool {
	if len(sparse) == 0 {
		return true
	}
	for _, wanted := range sparse {
		if p == wanted || strings.HasPrefix(p, wanted+"/") || dir && strings.HasPrefix(wanted, p+"/") {
			return true
		}
	}
	return false
}
