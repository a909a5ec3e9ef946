package bucket

import (
	"context"
	"crypto/md5" //nolint:gosec // what ETags are made with
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"sync/atomic"

	"github.com/fluxcd/pkg/sourceignore"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// Fetch brings what is listed into a folder, but for those paths that reused says lie there already.
func Fetch(ctx context.Context, s Service, l *Listing, into *os.Root, limits Limits, reused map[string]bool) error {
	f := &fetcher{service: s, into: into, limit: limits.Bytes}
	if l.Rules.ETag != "" {
		if err := into.WriteFile(sourceignore.IgnoreFile, l.Rules.Content, fileMode); err != nil {
			return fmt.Errorf("%w: write %s: %w", ErrStorage, sourceignore.IgnoreFile, cause(err))
		}
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(limits.parallel())
	made := ""
	for _, file := range l.Files {
		if reused[file.Path] {
			continue
		}
		if working.Err() != nil {
			break // Wait has the reason
		}
		if dir := path.Dir(file.Path); dir != made {
			if err := into.MkdirAll(dir, dirMode); err != nil {
				return errors.Join(fmt.Errorf("%w: make the folder of %s: %w", ErrStorage, shown(file.Key), cause(err)), group.Wait())
			}
			made = dir
		}
		group.Go(func() error { return f.fetch(working, file) })
	}
	err := group.Wait()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %d objects could not be fetched within spec.timeout; raise it, or narrow spec.prefix",
			wire.ErrTimeout, len(l.Files)-len(reused))
	}
	return errors.Join(err, ctx.Err())
}

type fetcher struct {
	service Service
	into    *os.Root
	// unpacked is how many bytes came of objects whose size is not known before; limit is how many all may have.
	unpacked atomic.Int64
	limit    int64
	// otherETags is set once an ETag that looks like an MD5 turned out to be none.
	otherETags atomic.Bool
}

// fetch brings one object. If its content does not have the MD5 that its ETag looks like, it is read a second time: what is
// the same then was not damaged on the way, and the ETag is none (it is not where a service encrypts with keys of its own).
func (f *fetcher) fetch(ctx context.Context, file File) error {
	first, err := f.download(ctx, file)
	if err != nil {
		return named(file, err)
	}
	if file.MD5 == "" || file.Unpacked || first == file.MD5 || !file.Sure && f.otherETags.Load() {
		return nil
	}
	second, err := f.download(ctx, file)
	switch {
	case err != nil:
		return named(file, err)
	case second == file.MD5:
		return nil
	case !file.Sure && first == second:
		f.otherETags.Store(true)
		return nil
	}
	return fmt.Errorf("%w: the content of %s does not have the checksum that the service lists", ErrDamaged, shown(file.Key))
}

// named is an error of one object. It has the object's name only if it is about that object: of those that are read at the
// same time any may be the first to fail, and what is said must not differ from one attempt to the next.
func named(file File, err error) error {
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("object %s: %w", shown(file.Key), err)
	}
	return err
}

// download writes an object's content to its file, and returns the MD5.
func (f *fetcher) download(ctx context.Context, file File) (sum string, err error) {
	content, err := f.service.Open(ctx, file.Object)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	out, err := f.into.OpenFile(file.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return "", fmt.Errorf("%w: create the file: %w", ErrStorage, cause(err))
	}
	to := &disk{file: out, sum: md5.New()} //nolint:gosec // what ETags are made with
	most := file.Size
	if file.Unpacked {
		most = f.limit - f.unpacked.Load()
	}
	n, err := io.Copy(to, io.LimitReader(content, most+1))
	err = errors.Join(err, cause(out.Close()))
	switch {
	case err != nil:
		return "", err
	case file.Unpacked && f.unpacked.Add(n) > f.limit:
		return "", fmt.Errorf("%w: unpacked, the objects have more than %d bytes together, the most that --artifact-max-size allows",
			ErrTooLarge, f.limit)
	case n != file.Size && !file.Unpacked:
		return "", fmt.Errorf("%w: it does not have the %d bytes that the service lists", ErrDamaged, file.Size)
	}
	return hex.EncodeToString(to.sum.Sum(nil)), nil
}

// disk is a file that is written to; sum is nil, or takes what goes into it.
type disk struct {
	file *os.File
	sum  hash.Hash
}

func (d *disk) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	if d.sum != nil {
		_, _ = d.sum.Write(p[:n]) // a hash takes everything
	}
	if err != nil {
		err = fmt.Errorf("%w: write the file: %w", ErrStorage, cause(err))
	}
	return n, err
}

// cause is what went wrong, without the name of a temporary folder.
func cause(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}
