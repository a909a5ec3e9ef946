package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// temporarySuffix ends the name of a file that is being written.
const temporarySuffix = ".tmp"

func (s *Store) writeJSON(k subject.Key, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("keep %s of %s: %w", name, k, err)
	}
	return s.write(k, name, data)
}

// write replaces a file of the subject's such that a crash at any moment leaves the old or the new content.
func (s *Store) write(k subject.Key, name string, data []byte) error {
	dir, err := folder(k)
	if err != nil {
		return err
	}
	if err := s.replace(dir, name, data); err != nil {
		return fmt.Errorf("keep %s of %s: %w", name, k, err)
	}
	return nil
}

func (s *Store) replace(dir, name string, data []byte) error {
	if err := s.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := s.writeSynced(path+temporarySuffix, data); err != nil {
		return err
	}
	if err := s.root.Rename(path+temporarySuffix, path); err != nil {
		return err
	}
	return s.syncFolder(dir)
}

func (s *Store) writeSynced(path string, data []byte) error {
	f, err := s.root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// syncFolder makes the rename itself durable.
func (s *Store) syncFolder(dir string) error {
	f, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
