package store

import "io/fs"

// Size is how many bytes are kept. What goes away meanwhile is not counted.
func (s *Store) Size() int64 {
	var size int64
	_ = fs.WalkDir(s.root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // it was removed while its folder was read
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}
