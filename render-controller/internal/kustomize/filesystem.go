package kustomize

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
)

// mount is where the tree is, as kustomize sees it. There is nothing outside of it.
const mount = "/artifact"

var (
	errReadOnly = errors.New("the source artifact is read-only")
	errOutside  = errors.New("the path leads outside of the source artifact")
)

// fileSystem is kustomize's view of a tree and of the generated files over it. It reads only. Each content passes through
// the reader's filter; a filter's error is kept, because kustomize drops some of the errors it is given.
type fileSystem struct {
	tree    Tree
	overlay map[string][]byte
	// filter sees each file on its way in, and returns what kustomize gets.
	filter   func(name string, content []byte) ([]byte, error)
	recorder *trace.Recorder
	refusal  error
}

var _ filesys.FileSystem = (*fileSystem)(nil)

// local returns the path below the root of the tree for one of kustomize's.
func local(name string) (string, error) {
	if !path.IsAbs(name) {
		name = path.Join(mount, name)
	}
	name = path.Clean(name)
	if name == mount {
		return ".", nil
	}
	inside, ok := strings.CutPrefix(name, mount+"/")
	if !ok {
		return "", errOutside
	}
	return inside, nil
}

// mounted is the inverse of local.
func mounted(inside string) string { return path.Join(mount, inside) }

// ReadFile returns a file's content as kustomize is to see it.
func (f *fileSystem) ReadFile(name string) ([]byte, error) {
	inside, err := local(name)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	content, err := f.read(inside)
	if err != nil || f.filter == nil {
		return content, err
	}
	content, err = f.filter(inside, content)
	if err != nil && f.refusal == nil {
		f.refusal = err
	}
	return content, err
}

// read returns a file's content as it is.
func (f *fileSystem) read(inside string) ([]byte, error) {
	if content, ok := f.overlay[inside]; ok {
		return content, nil
	}
	content, err := f.tree.ReadFile(inside)
	switch {
	case err == nil:
		f.recorder.Record(trace.CallRead, inside, trace.Content(content))
	case errors.Is(err, fs.ErrNotExist):
		f.recorder.Record(trace.CallRead, inside, trace.Absent)
	case f.stat(inside) == trace.Directory:
		f.recorder.Record(trace.CallRead, inside, trace.Directory)
	default:
		f.recorder.Invalidate()
	}
	return content, err
}

// stat tells what a path is: trace.Absent, trace.Directory or trace.File.
func (f *fileSystem) stat(inside string) string {
	if _, ok := f.overlay[inside]; ok {
		return trace.File
	}
	info, err := f.info(inside)
	switch {
	case err != nil:
		return trace.Absent
	case info.IsDir():
		return trace.Directory
	default:
		return trace.File
	}
}

// info asks the tree what a path is.
func (f *fileSystem) info(inside string) (fs.FileInfo, error) {
	info, err := f.tree.Stat(inside)
	switch {
	case err != nil:
		f.recorder.Record(trace.CallStat, inside, trace.Absent)
	case info.IsDir():
		f.recorder.Record(trace.CallStat, inside, trace.Directory)
	default:
		f.recorder.Record(trace.CallStat, inside, trace.File)
	}
	return info, err
}

// IsDir says whether the path is a directory.
func (f *fileSystem) IsDir(name string) bool {
	inside, err := local(name)
	return err == nil && f.stat(inside) == trace.Directory
}

// Exists says whether there is anything at the path.
func (f *fileSystem) Exists(name string) bool {
	inside, err := local(name)
	return err == nil && f.stat(inside) != trace.Absent
}

// ReadDir returns the sorted names in a directory.
func (f *fileSystem) ReadDir(name string) ([]string, error) {
	inside, err := local(name)
	if err != nil {
		return nil, &fs.PathError{Op: "list", Path: name, Err: err}
	}
	entries, err := f.tree.ReadDir(inside)
	if err != nil {
		f.recorder.Invalidate()
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	f.recorder.Record(trace.CallList, inside, trace.Listing(names))
	for generated := range f.overlay {
		if path.Dir(generated) == inside && !slices.Contains(names, path.Base(generated)) {
			names = append(names, path.Base(generated))
		}
	}
	slices.Sort(names)
	return names, nil
}

// CleanedAbs splits an existing path into a directory and a file name.
func (f *fileSystem) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	inside, err := local(name)
	if err != nil {
		return "", "", &fs.PathError{Op: "find", Path: name, Err: err}
	}
	switch f.stat(inside) {
	case trace.Directory:
		return filesys.ConfirmedDir(mounted(inside)), "", nil
	case trace.File:
		return filesys.ConfirmedDir(mounted(path.Dir(inside))), path.Base(inside), nil
	default:
		return "", "", &fs.PathError{Op: "find", Path: inside, Err: fs.ErrNotExist}
	}
}

// Glob returns the paths that match the pattern, below the directory that its part without wildcards names.
func (f *fileSystem) Glob(pattern string) ([]string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, err
	}
	base := path.Dir(pattern)
	for strings.ContainsAny(base, `*?[\`) {
		base = path.Dir(base)
	}
	var found []string
	err := f.Walk(base, func(name string, _ fs.FileInfo, err error) error {
		if matched, _ := path.Match(pattern, name); err == nil && matched {
			found = append(found, name)
		}
		return nil
	})
	return found, err
}

// Walk calls visit for the path and everything below, in lexical order, as [filepath.Walk] does.
func (f *fileSystem) Walk(name string, visit filepath.WalkFunc) error {
	inside, err := local(name)
	if err != nil {
		return visit(name, nil, err)
	}
	err = f.walk(inside, visit)
	if errors.Is(err, filepath.SkipDir) || errors.Is(err, filepath.SkipAll) {
		return nil
	}
	return err
}

func (f *fileSystem) walk(inside string, visit filepath.WalkFunc) error {
	info, err := f.info(inside)
	if err != nil {
		return visit(mounted(inside), nil, err)
	}
	err = visit(mounted(inside), info, nil)
	if !info.IsDir() || err != nil {
		if info.IsDir() && errors.Is(err, filepath.SkipDir) {
			return nil
		}
		return err
	}
	names, err := f.ReadDir(mounted(inside))
	if err != nil {
		return visit(mounted(inside), info, err)
	}
	for _, name := range names {
		child := path.Join(inside, name)
		if _, generated := f.overlay[child]; generated {
			continue
		}
		if err := f.walk(child, visit); err != nil && !errors.Is(err, filepath.SkipDir) {
			return err
		}
	}
	return nil
}

// Open is not served: a build reads whole files.
func (*fileSystem) Open(string) (filesys.File, error) { return nil, errReadOnly }

// Create is refused.
func (*fileSystem) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir is refused.
func (*fileSystem) Mkdir(string) error { return errReadOnly }

// MkdirAll is refused.
func (*fileSystem) MkdirAll(string) error { return errReadOnly }

// RemoveAll is refused.
func (*fileSystem) RemoveAll(string) error { return errReadOnly }

// WriteFile is refused.
func (*fileSystem) WriteFile(string, []byte) error { return errReadOnly }
