package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// maxRules is how large a .sourceignore may be.
const maxRules = 256 << 10

// Rules are the .sourceignore of a bucket.
type Rules struct {
	// ETag of the object; empty if there is none.
	ETag    string
	Content []byte
}

// Query says what of a bucket is asked for.
type Query struct {
	// Prefix of the keys.
	Prefix string
	// Ignore holds patterns of the object's own, which win over those of the bucket; nil for none.
	Ignore *string
	// Known are the rules as they were found before; they are not read again while they are the same.
	Known  Rules
	Limits Limits
}

// Listing is what a bucket holds, without what is ignored.
type Listing struct {
	// Revision is what Flux calls it: the digest of all keys and ETags.
	Revision string
	// Count is how many objects that is made of.
	Count int
	// Rules are those of the bucket. The artifact has them, too.
	Rules Rules
	// Files are what is to be fetched, sorted by path.
	Files []File
}

// List asks what a bucket holds. A bucket whose .sourceignore is known costs one request for each 1000 objects, and one more
// if the prefix does not cover .sourceignore, which always is at the root.
func List(ctx context.Context, s Service, q Query) (*Listing, error) {
	found, rules, err := collect(ctx, s, q)
	if err != nil {
		return nil, err
	}
	l := &Listing{}
	if rules != nil {
		if l.Rules, err = readRules(ctx, s, *rules, q.Known); err != nil {
			return nil, err
		}
	}
	ignored := matcher(l.Rules.Content, q.Ignore)
	found = slices.DeleteFunc(found, func(o Object) bool { return ignored.Match(strings.Split(o.Key, "/"), false) })
	slices.SortFunc(found, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	if err := check(found, q.Limits); err != nil {
		return nil, err
	}
	l.Revision, l.Count = revision(found), len(found)
	l.Files, err = files(found)
	return l, err
}

// collect lists a bucket. Names that end with a slash are folders; .sourceignore at the root is no object but the rules.
func collect(ctx context.Context, s Service, q Query) (found []Object, rules *Object, err error) {
	count := 0
	visit := func(o Object) error {
		if count++; count > q.Limits.Files {
			return fmt.Errorf(
				"%w: the bucket lists more than %d objects, the most that --artifact-max-files allows; narrow spec.prefix, or raise the flag",
				ErrTooLarge, q.Limits.Files)
		}
		switch {
		case o.Key == sourceignore.IgnoreFile:
			rules = &o
		case !strings.HasSuffix(o.Key, "/"):
			found = append(found, o)
		}
		return nil
	}
	if err := s.List(ctx, q.Prefix, visit); err != nil {
		return nil, nil, err
	}
	if !strings.HasPrefix(sourceignore.IgnoreFile, q.Prefix) {
		rules, err = find(ctx, s, sourceignore.IgnoreFile)
	}
	return found, rules, err
}

var errFound = errors.New("found")

// find looks for one object; nil if there is none. Keys are listed in order, so that the first page has it.
func find(ctx context.Context, s Service, key string) (*Object, error) {
	var object *Object
	err := s.List(ctx, key, func(o Object) error {
		if o.Key == key {
			object = &o
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return object, err
}

func readRules(ctx context.Context, s Service, o Object, known Rules) (r Rules, err error) {
	if o.ETag != "" && o.ETag == known.ETag {
		return known, nil
	}
	content, err := s.Open(ctx, o)
	if err != nil {
		return r, fmt.Errorf("read %s: %w", sourceignore.IgnoreFile, err)
	}
	content = wire.Capped(content, maxRules, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, maxRules))
	defer func() { err = errors.Join(err, content.Close()) }()
	if r.Content, err = io.ReadAll(content); err != nil {
		return r, fmt.Errorf("read %s: %w", sourceignore.IgnoreFile, err)
	}
	r.ETag = o.ETag
	return r, nil
}

// matcher tells what is ignored. There is no default list, as in Flux.
func matcher(rules []byte, ignore *string) gitignore.Matcher {
	patterns := sourceignore.ReadPatterns(strings.NewReader(string(rules)), nil)
	if ignore != nil {
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(*ignore), nil)...)
	}
	return sourceignore.NewMatcher(patterns)
}

// check refuses what is too large before any of it is fetched, and a key that is there twice.
func check(sorted []Object, limits Limits) error {
	left := limits.Bytes
	for i, o := range sorted {
		if o.Size < 0 || o.Size > left {
			return fmt.Errorf(
				"%w: the objects have more than %d bytes together, the most that --artifact-max-size allows; narrow spec.prefix, extend spec.ignore, or raise the flag",
				ErrTooLarge, limits.Bytes)
		}
		left -= o.Size
		if i > 0 && sorted[i-1].Key == o.Key {
			return fmt.Errorf("%w: the service lists the object %s twice", ErrDamaged, shown(o.Key))
		}
	}
	return nil
}

// revision is the digest of an index with a line for each object, its key and its ETag, sorted by key. (Flux's
// internal/index; its Azure client makes the first index of other ETags than all later ones, so that it fetches everything
// at each poll. The revision it ends up with is the one made here.)
func revision(sorted []Object) string {
	sum := sha256.New()
	for _, o := range sorted {
		_, _ = fmt.Fprintf(sum, "%s %s\n", o.Key, o.ETag) // a hash takes everything
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}
