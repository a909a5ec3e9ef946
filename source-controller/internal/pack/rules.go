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
}

// readTree walks the tree, checks its paths and size, and reads its .sourceignore files; it opens no other. As soon as
// there is any pattern of the user's own, of the defaults only those for version control stay. What comes later wins: the
// file of a folder over that of the folder it is in, and spec.ignore over all.
func readTree(ctx context.Context, tree Tree, o Options) ([]Entry, rules, error) {
	c := collector{limits: o.Limits, chosen: o.Chosen}
	if err := tree.Walk(ctx, c.visit); err != nil {
		return nil, rules{}, err
	}
	if o.Chosen {
		return c.entries, rules{matcher: sourceignore.NewMatcher(nil)}, nil
	}
	if o.Ignore != nil {
		if err := c.read(strings.NewReader(*o.Ignore), nil, maxDepth); err != nil {
			return nil, rules{}, fmt.Errorf("read spec.ignore: %w", err)
		}
	}
	if c.count == 0 {
		return c.entries, rules{matcher: sourceignore.NewDefaultMatcher(nil, nil)}, nil
	}
	patterns := sourceignore.VCSPatterns(nil)
	for _, atDepth := range c.patterns {
		patterns = append(patterns, atDepth...)
	}
	return c.entries, rules{matcher: sourceignore.NewMatcher(patterns)}, nil
}

func (r rules) excluded(p string, dir bool) bool {
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
	chosen   bool
}

func (c *collector) visit(e Entry) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if c.entries = append(c.entries, e); len(c.entries) > c.limits.Files {
		return tooMany(c.limits)
	}
	regular := e.Kind == Regular || e.Kind == Executable
	if c.chosen || !regular || path.Base(e.Path) != sourceignore.IgnoreFile {
		return nil
	}
	return c.readFile(e)
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
