package bucket

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const (
	maxSegment = 255
	maxDepth   = 256
)

// pathOf is where the content of an object lies in the artifact. Slashes at the start of a key, double slashes and "." mean
// nothing, as in Flux; ".." is refused, which Flux takes for something inside. A backslash is a letter like any other.
func pathOf(key string) (string, error) {
	var parts []string
	for part := range strings.SplitSeq(key, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", hostile(key, `it has ".." in it`)
		case strings.ContainsRune(part, 0):
			return "", hostile(key, "it has a zero byte in it")
		case len(part) > maxSegment:
			return "", hostile(key, fmt.Sprintf("a file name has no more than %d bytes", maxSegment))
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "", hostile(key, "nothing is left of it")
	}
	if len(parts) > maxDepth {
		return "", hostile(key, fmt.Sprintf("it is nested more than %d deep", maxDepth))
	}
	return strings.Join(parts, "/"), nil
}

func hostile(key, why string) error {
	return fmt.Errorf("%w: the object %s cannot be a file: %s; rename it, or exclude it by spec.prefix or spec.ignore", ErrHostile, shown(key), why)
}

// versionControl reports whether a path is git's own folder, which no artifact has, or in it.
func versionControl(file string) bool {
	return slices.ContainsFunc(strings.Split(file, "/"), func(part string) bool {
		return strings.EqualFold(part, ".git") || strings.EqualFold(part, "git~1")
	})
}

// File is an object, and where its content lies in the artifact.
type File struct {
	Object

	Path string
}

// files places objects, sorted by path. An empty object whose name is that of a folder is what some tools make a folder
// with, and is left out; any other two that cannot lie side by side are refused.
func files(objects []Object) ([]File, error) {
	placed := make([]File, 0, len(objects))
	folders := map[string]string{} // and an object in each
	for _, o := range objects {
		file, err := pathOf(o.Key)
		if err != nil {
			return nil, err
		}
		if versionControl(file) {
			continue
		}
		placed = append(placed, File{o, file})
		for dir := path.Dir(file); dir != "." && folders[dir] == ""; dir = path.Dir(dir) {
			folders[dir] = o.Key
		}
	}
	slices.SortStableFunc(placed, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	kept := placed[:0]
	for _, f := range placed {
		inside := folders[f.Path]
		switch {
		case inside != "" && f.Size == 0:
			continue
		case inside != "":
			return nil, clash(f.Key, inside)
		case len(kept) > 0 && kept[len(kept)-1].Path == f.Path:
			return nil, clash(kept[len(kept)-1].Key, f.Key)
		}
		kept = append(kept, f)
	}
	return kept, nil
}

func clash(a, b string) error {
	return fmt.Errorf("%w: the objects %s and %s cannot both be files; rename one, or exclude it by spec.ignore", ErrHostile, shown(a), shown(b))
}
