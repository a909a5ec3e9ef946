package bucket

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Record is what was found when an artifact was made: what of it can be used again.
type Record struct {
	// Artifact is the digest of the artifact.
	Artifact string `json:"artifact"`
	// Rules are those it was made with.
	Rules Rules `json:"rules"`
	// Objects says which object is in each file, by path.
	Objects map[string]Stamp `json:"-"`
}

// Stamp tells whether an object is the same.
type Stamp struct {
	Key  string `json:"k"`
	ETag string `json:"e"`
	Size int64  `json:"s"`
}

// RecordOf is the record of what was listed.
func RecordOf(l *Listing, artifact string) *Record {
	r := &Record{Artifact: artifact, Rules: l.Rules, Objects: make(map[string]Stamp, len(l.Files))}
	for _, f := range l.Files {
		r.Objects[f.Path] = stamp(f.Object)
	}
	return r
}

func stamp(o Object) Stamp { return Stamp{o.Key, o.ETag, o.Size} }

// Records is a folder with a record for each Bucket object, by UID. It is safe for concurrent use on different objects.
//
// A record is a gzipped line for the artifact and a line for each file. Losing one costs a fetch of everything.
type Records struct {
	root *os.Root
}

// OpenRecords opens the records in a folder.
func OpenRecords(dir string) (*Records, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the records of buckets: %w", err)
	}
	return &Records{root}, nil
}

const half = ".new"

// Save replaces an object's record.
func (r *Records) Save(uid string, record *Record) error {
	if err := r.write(uid+half, record); err != nil {
		return errors.Join(fmt.Errorf("%w: write a record: %w", ErrStorage, err), cause(r.remove(uid+half)))
	}
	if err := r.root.Rename(uid+half, uid); err != nil {
		return fmt.Errorf("%w: write a record: %w", ErrStorage, cause(err))
	}
	return nil
}

func (r *Records) write(name string, record *Record) (err error) {
	file, err := r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return cause(err)
	}
	defer func() { err = errors.Join(err, cause(file.Close())) }()
	zip := gzip.NewWriter(file)
	lines := json.NewEncoder(zip)
	if err := lines.Encode(record); err != nil {
		return cause(err)
	}
	for path, stamp := range record.Objects {
		if err := lines.Encode(line{path, stamp}); err != nil {
			return cause(err)
		}
	}
	return cause(zip.Close())
}

type line struct {
	Path string `json:"p"`

	Stamp
}

// Rules are those that the record of an artifact has; none if there is no such record, or it cannot be read.
func (r *Records) Rules(uid, artifact string) Rules {
	if record, err := r.read(uid, artifact, false); err == nil {
		return record.Rules
	}
	return Rules{}
}

// Load reads the record of an artifact; nil if there is none, or it cannot be read: then there is nothing to use again.
func (r *Records) Load(uid, artifact string) *Record {
	record, err := r.read(uid, artifact, true)
	if err != nil {
		return nil
	}
	return record
}

var errOther = errors.New("the record is that of another artifact")

func (r *Records) read(uid, artifact string, whole bool) (record *Record, err error) {
	file, err := r.root.Open(uid)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	zip, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, err
	}
	lines := json.NewDecoder(zip)
	record = &Record{Objects: map[string]Stamp{}}
	if err := lines.Decode(record); err != nil {
		return nil, err
	}
	if record.Artifact != artifact || artifact == "" {
		return nil, errOther
	}
	for whole {
		var l line
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			return record, nil
		case err != nil:
			return nil, err
		}
		record.Objects[l.Path] = l.Stamp
	}
	return record, nil
}

// Remove removes an object's record.
func (r *Records) Remove(uid string) error {
	if err := r.remove(uid); err != nil {
		return fmt.Errorf("remove the record of a bucket: %w", err)
	}
	return nil
}

func (r *Records) remove(name string) error {
	if err := r.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Keep removes the records of objects that are gone.
func (r *Records) Keep(live func(uid string) bool) error {
	entries, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("read the records of buckets: %w", err)
	}
	var failed []error
	for _, e := range entries {
		if !live(strings.TrimSuffix(e.Name(), half)) {
			failed = append(failed, r.Remove(e.Name()))
		}
	}
	return errors.Join(failed...)
}
