package git

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

// packWriter writes a pack as a server that means harm would.
type packWriter struct {
	t *testing.T
	bytes.Buffer
}

func newPack(t *testing.T, objects uint32) *packWriter {
	p := &packWriter{t: t}
	p.WriteString("PACK")
	if err := errors.Join(binary.Write(p, binary.BigEndian, uint32(2)), binary.Write(p, binary.BigEndian, objects)); err != nil {
		t.Fatal(err)
	}
	return p
}

// object adds an object of a size that is claimed, with content that may be another.
func (p *packWriter) object(kind plumbing.ObjectType, size int, base []byte, content io.Reader) {
	first := byte(kind)<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		p.WriteByte(first | 0x80)
		first = byte(size & 127)
	}
	p.WriteByte(first)
	p.Write(base)
	zw := zlib.NewWriter(p)
	if _, err := io.Copy(zw, content); err != nil {
		p.t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *packWriter) end() []byte {
	sum := sha1.Sum(p.Bytes())
	p.Write(sum[:])
	return p.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestS14BombsAreFoundBeforeTheyAreUnpacked(t *testing.T) {
	const large = 16 << 20
	limits := DefaultLimits()
	limits.Object, limits.Objects = 1<<20, 100
	for name, tc := range map[string]struct {
		reason string
		pack   func() []byte
	}{
		"large file": {"many zeros are few bytes", func() []byte {
			p := newPack(t, 1)
			p.object(plumbing.BlobObject, large, nil, io.LimitReader(zeros{}, large))
			return p.end()
		}},
		"large delta": {"ten bytes that make as many", func() []byte {
			p := newPack(t, 2)
			p.object(plumbing.BlobObject, 1000, nil, io.LimitReader(zeros{}, 1000))
			delta := binary.AppendUvarint(binary.AppendUvarint(nil, 1000), large)
			p.object(plumbing.REFDeltaObject, len(delta), make([]byte, 20), bytes.NewReader(delta))
			return p.end()
		}},
		"many objects": {"a header that promises more than memory holds", func() []byte { return newPack(t, 1<<31).end() }},
	} {
		t.Run(name, func(t *testing.T) {
			sent := tc.pack()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := receive(t.Context(), openStorage(t.TempDir()), bytes.NewReader(sent), limits)
			thin := receiveThin(t.Context(), openStorage(t.TempDir()), bytes.NewReader(sent), limits)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrTooLarge) || !errors.Is(thin, ErrTooLarge) {
				t.Errorf("got %v and %v: %s", err, thin, tc.reason)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > large/2 {
				t.Errorf("%d bytes of memory were taken: %s", took, tc.reason)
			}
		})
	}
}

// FuzzReceive holds that whatever a server sends as a pack, it is taken or refused.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00"))
	f.Add([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"))
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x31x\x9c\x03\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		limits := DefaultLimits()
		limits.Object, limits.Objects = 1<<20, 100
		dir := t.TempDir()
		_ = receive(t.Context(), openStorage(dir), bytes.NewReader(sent), limits) // it must only end
		_ = receiveThin(t.Context(), openStorage(dir), bytes.NewReader(sent), limits)
		if left, err := filepath.Glob(filepath.Join(dir, "objects", "pack", thinFile+"*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}
