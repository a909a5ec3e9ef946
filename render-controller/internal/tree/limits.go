package tree

import "fmt"

// Limits bounds one artifact. A zero field stands for its default.
type Limits struct {
	// Compressed is the largest artifact that is downloaded, in bytes.
	Compressed int64
	// Uncompressed is how many bytes its files may have together.
	Uncompressed int64
	// Files is how many files and directories it may hold.
	Files int
	// PathLength is the longest path inside, in bytes.
	PathLength int
}

const (
	defaultCompressed   = 512 << 20
	defaultUncompressed = 2 << 30
	defaultFiles        = 200_000
	defaultPathLength   = 1024
)

func (l Limits) withDefaults() Limits {
	if l.Compressed <= 0 {
		l.Compressed = defaultCompressed
	}
	if l.Uncompressed <= 0 {
		l.Uncompressed = defaultUncompressed
	}
	if l.Files <= 0 {
		l.Files = defaultFiles
	}
	if l.PathLength <= 0 {
		l.PathLength = defaultPathLength
	}
	return l
}

// budget counts what an archive has used of its limits.
type budget struct {
	limits Limits
	files  int
	bytes  int64
}

func (b *budget) file(name string) error {
	if len(name) > b.limits.PathLength {
		return fmt.Errorf("path %.60q… has %d bytes, more than the %d that are allowed", name, len(name), b.limits.PathLength)
	}
	b.files++
	if b.files > b.limits.Files {
		return fmt.Errorf("more than %d files and directories", b.limits.Files)
	}
	return nil
}

// left is how many bytes may still be unpacked.
func (b *budget) left() int64 { return b.limits.Uncompressed - b.bytes }

func (b *budget) add(n int64) error {
	b.bytes += n
	if b.bytes > b.limits.Uncompressed {
		return fmt.Errorf("more than %d bytes when unpacked", b.limits.Uncompressed)
	}
	return nil
}
