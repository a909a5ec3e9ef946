package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Names and limits of the files of a subject.
const (
	stateFile        = "state.json"
	fingerprintsFile = "fingerprints.json"
	sealedSuffix     = ".age"
	digestPrefix     = "sha256:"

	maxState        = 1 << 20
	maxFingerprints = 64 << 20
)

// MaxSealed is the largest sealed content that is kept, in bytes.
const MaxSealed = 256 << 20

// ErrAbsent says that nothing is kept under that name.
var ErrAbsent = errors.New("not kept")

// Store is a folder of kept contents. It is safe for concurrent use as long as no two calls are about one subject.
type Store struct {
	root *os.Root
}

// Open opens, and creates if needed, a store in dir.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open kept contents: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open kept contents: %w", err)
	}
	return &Store{root: root}, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.root.Close() }

// State reads what was saved with SaveState into state; [ErrAbsent] without one, or when it cannot be read.
func (s *Store) State(k subject.Key, state any) error {
	return s.readJSON(k, stateFile, maxState, state)
}

// SaveState replaces the subject's state.
func (s *Store) SaveState(k subject.Key, state any) error {
	return s.writeJSON(k, stateFile, state)
}

// Fingerprints reads what was saved with SaveFingerprints; [ErrAbsent] without them, or when they cannot be read.
func (s *Store) Fingerprints(k subject.Key, fingerprints any) error {
	return s.readJSON(k, fingerprintsFile, maxFingerprints, fingerprints)
}

// SaveFingerprints replaces the subject's fingerprints.
func (s *Store) SaveFingerprints(k subject.Key, fingerprints any) error {
	return s.writeJSON(k, fingerprintsFile, fingerprints)
}

// PutSealed keeps a sealed content under its digest (sha256:<hex>), which is checked.
func (s *Store) PutSealed(k subject.Key, digest string, sealed []byte) error {
	name, err := sealedName(digest)
	if err != nil {
		return err
	}
	if got := Digest(sealed); got != digest {
		return fmt.Errorf("keep content of %s: it is %s and was announced as %s", k, got, digest)
	}
	return s.write(k, name, sealed)
}

// Sealed returns the sealed content of that digest; [ErrAbsent] when it is not kept, or no longer what it was.
func (s *Store) Sealed(k subject.Key, digest string) ([]byte, error) {
	name, err := sealedName(digest)
	if err != nil {
		return nil, err
	}
	sealed, err := s.read(k, name, MaxSealed)
	if err != nil {
		return nil, err
	}
	if Digest(sealed) != digest {
		return nil, fmt.Errorf("kept content of %s is damaged: %w", k, ErrAbsent)
	}
	return sealed, nil
}

// Retain removes every sealed content of the subject but those of the given digests.
func (s *Store) Retain(k subject.Key, digests ...string) error {
	dir, err := folder(k)
	if err != nil {
		return err
	}
	keep := make(map[string]bool, len(digests))
	for _, d := range digests {
		if name, err := sealedName(d); err == nil {
			keep[name] = true
		}
	}
	entries, err := fs.ReadDir(s.root.FS(), filepath.ToSlash(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list kept contents of %s: %w", k, err)
	}
	for _, e := range entries {
		if leftover(e.Name(), keep) {
			if err := s.root.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove an old content of %s: %w", k, err)
			}
		}
	}
	return nil
}

// Forget removes everything that is kept of the subject.
func (s *Store) Forget(k subject.Key) error {
	dir, err := folder(k)
	if err != nil {
		return err
	}
	if err := s.root.RemoveAll(dir); err != nil {
		return fmt.Errorf("forget kept content of %s: %w", k, err)
	}
	return nil
}

// Keys returns the subjects of a kind of which anything is kept.
func (s *Store) Keys(kind string) ([]subject.Key, error) {
	folders, err := fs.Glob(s.root.FS(), strings.ToLower(kind)+"/*/*")
	if err != nil {
		return nil, fmt.Errorf("list kept contents: %w", err)
	}
	keys := make([]subject.Key, 0, len(folders))
	for _, folder := range folders {
		parts := strings.Split(folder, "/")
		keys = append(keys, subject.Key{Kind: kind, Namespace: parts[1], Name: parts[2]})
	}
	return keys, nil
}

// Digest is the digest of a sealed content: sha256:<hex>.
func Digest(sealed []byte) string {
	sum := sha256.Sum256(sealed)
	return digestPrefix + hex.EncodeToString(sum[:])
}

// leftover says whether a file is an old content, or what a crash left of a write.
func leftover(name string, keep map[string]bool) bool {
	if strings.HasSuffix(name, temporarySuffix) {
		return true
	}
	return strings.HasSuffix(name, sealedSuffix) && !keep[name]
}

func sealedName(digest string) (string, error) {
	sum, ok := strings.CutPrefix(digest, digestPrefix)
	if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("%.80q is no sha256:<64 hex digits>", digest)
	}
	return sum + sealedSuffix, nil
}

// folder is the subject's folder. Names come from the API server and are legal file names; anything else is refused.
func folder(k subject.Key) (string, error) {
	for _, part := range []string{k.Kind, k.Namespace, k.Name} {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00") {
			return "", fmt.Errorf("%.300q is no subject", k)
		}
	}
	return filepath.Join(strings.ToLower(k.Kind), k.Namespace, k.Name), nil
}

func (s *Store) readJSON(k subject.Key, name string, limit int64, value any) error {
	data, err := s.read(k, name, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("kept %s of %s is damaged: %w", name, k, ErrAbsent)
	}
	return nil
}

func (s *Store) read(k subject.Key, name string, limit int64) ([]byte, error) {
	dir, err := folder(k)
	if err != nil {
		return nil, err
	}
	f, err := s.root.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s of %s: %w", name, k, ErrAbsent)
	}
	if err != nil {
		return nil, fmt.Errorf("read kept %s of %s: %w", name, k, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read kept %s of %s: %w", name, k, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("kept %s of %s is larger than %d bytes: %w", name, k, limit, ErrAbsent)
	}
	return data, nil
}
