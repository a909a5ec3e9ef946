package ocirepository

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
	"github.com/sluice-gitops/sluice/source-controller/internal/unpack"
)

// store stores a layer: as it is, or unpacked and packed again without what is ignored. Nothing appears before all of it was
// read and has its digest.
func (r *Reconciler) store(
	ctx context.Context, obj *sourcev1.OCIRepository, repo *oci.Repository, l oci.Layer, c recipe, file string,
) (written store.Written, p *plan.Problem) {
	body, err := repo.Layer(ctx, l)
	if err != nil {
		return written, fetchProblem(obj, sourcev1.OCILayerOperationFailedReason, err)
	}
	defer func() { _ = body.Close() }() // it is only read
	blob := &source{Reader: body}
	if c.copies() {
		written, err = r.Store.Write(ctx, file, func(w io.Writer) error { return blob.copy(w) })
	} else {
		written, err = r.repack(ctx, blob, c, file)
	}
	if err != nil {
		return written, layerProblem(obj, c.revision, blob, err)
	}
	return written, nil
}

// repack unpacks a layer into a folder that nobody else sees, and packs that as an artifact.
func (r *Reconciler) repack(ctx context.Context, blob *source, c recipe, file string) (written store.Written, err error) {
	folder, _, done, err := r.Store.Scratch()
	if err != nil {
		return written, err
	}
	defer func() { err = errors.Join(err, done()) }()
	if err := errors.Join(r.unpack(ctx, blob, folder), blob.copy(io.Discard)); err != nil {
		return written, err
	}
	return r.Store.Write(ctx, file, func(w io.Writer) error {
		return pack.Write(ctx, w, pack.Folder(folder), pack.Options{Ignore: c.ignore, Limits: r.Limits})
	})
}

// The first bytes of what compressors make.
var (
	gzipMagic = []byte{0x1f, 0x8b}             //nolint:gochecknoglobals // a constant, which slices cannot be
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} //nolint:gochecknoglobals // a constant, which slices cannot be
)

// maxWindow is how much memory a zstd stream may have for what it repeats, in bytes.
const maxWindow = 32 << 20

// unpack writes what is in a tarball into a folder, however it is compressed.
func (r *Reconciler) unpack(ctx context.Context, blob io.Reader, into *os.Root) error {
	limits := unpack.Limits{Bytes: r.Limits.Bytes, Files: r.Limits.Files}
	buffered := bufio.NewReader(blob)
	start, err := buffered.Peek(len(zstdMagic))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case bytes.HasPrefix(start, gzipMagic):
		return unpack.TarGz(ctx, buffered, into, limits)
	case !bytes.HasPrefix(start, zstdMagic):
		return unpack.Tar(ctx, buffered, into, limits)
	}
	zr, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer zr.Close()
	return unpack.Tar(ctx, zr, into, limits)
}

// source is what a registry sends. It remembers what went wrong on the way, which not every reader passes on.
type source struct {
	io.Reader

	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// copy reads what is left, to its end.
func (s *source) copy(w io.Writer) error {
	_, err := io.Copy(w, s)
	return err
}

// layerProblem says what is wrong: with what was sent, with what is in it, or with where it is stored.
func layerProblem(obj *sourcev1.OCIRepository, revision string, blob *source, err error) *plan.Problem {
	const reason = sourcev1.OCILayerOperationFailedReason
	url := redact.URL(obj.Spec.URL)
	switch {
	case blob.err != nil:
		return fetchProblem(obj, reason, blob.err)
	case errors.Is(err, context.DeadlineExceeded):
		return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason, "%s could not be packed within spec.timeout; raise it", revision)
	case errors.Is(err, unpack.ErrTooLarge), errors.Is(err, pack.ErrTooLarge):
		return plan.FetchProblem(reason, "%s: the layer of %s: %v; raise --artifact-max-size or --artifact-max-files", url, revision, err)
	case errors.Is(err, unpack.ErrHostile), errors.Is(err, pack.ErrHostile):
		return plan.FetchProblem(reason, "%s: the layer of %s: %v; nothing of it is used", url, revision, err)
	case errors.Is(err, unpack.ErrBroken):
		return plan.FetchProblem(reason,
			"%s: the layer of %s is not a tarball, or not a whole one; push one, or set spec.layerSelector.operation to copy", url, revision)
	}
	return plan.StorageProblem(sourcev1.ArchiveOperationFailedReason, "%s: %v", revision, err)
}
