package pack

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// Only is what of a tree lies in some folders, with the folders on the way to them; all of it if there are none. Its Walk
// checks the paths of everything else too, and fails with [ErrNoFolder] if one of the folders is not there.
func Only(tree Tree, folders []string, l Limits) Tree {
	if len(folders) == 0 {
		return tree
	}
	return only{tree: tree, folders: cleanAll(folders), limits: l}
}

type only struct {
	tree    Tree
	folders []string
	limits  Limits
}

// Walk implements [Tree].
func (o only) Walk(ctx context.Context, visit func(Entry) error) error {
	found, count := map[string]bool{}, 0
	err := o.tree.Walk(ctx, func(e Entry) error {
		if err := checkPath(e.Path); err != nil {
			return err
		}
		if count++; count > o.limits.Files {
			return tooMany(o.limits)
		}
		dir := e.Kind == Dir
		if dir {
			found[e.Path] = true
		}
		if !within(o.folders, e.Path, dir) {
			return nil
		}
		return visit(e)
	})
	if err != nil {
		return err
	}
	for _, dir := range o.folders {
		if !found[dir] {
			return fmt.Errorf("%w in the repository: %s", ErrNoFolder, shown(dir))
		}
	}
	return nil
}

// Wanted tells whether what lies at a path is among what lies in some folders; everything is if there are none.
func Wanted(folders []string) func(path string) bool {
	cleaned := cleanAll(folders)
	return func(p string) bool { return len(cleaned) == 0 || within(cleaned, clean(p), true) }
}

// clean is a path as trees have it: without a slash at its start or its end, and empty for the root.
func clean(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

func cleanAll(folders []string) []string {
	var all []string
	for _, dir := range folders {
		all = append(all, clean(dir))
	}
	return all
}

// within reports whether an entry lies in one of the folders, or is a folder on the way to one.
func within(folders []string, p string, dir bool) bool {
	for _, wanted := range folders {
		if p == wanted || strings.HasPrefix(p, wanted+"/") || dir && strings.HasPrefix(wanted, p+"/") {
			return true
		}
	}
	return false
}
