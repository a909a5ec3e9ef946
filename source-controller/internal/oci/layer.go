package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Layer reads a blob. What is read is the layer only once the end was reached without an error: its bytes are counted and
// hashed on the way.
func (r *Repository) Layer(ctx context.Context, l Layer) (io.ReadCloser, error) {
	ask := asking{what: "the layer " + l.Digest, blob: &l}
	if !isDigest(l.Digest) || l.Size < 0 {
		return nil, fmt.Errorf("%w: the manifest in %s has a layer without a proper digest and size", ErrManifest, r.session.host())
	}
	if l.Size > r.limits.Layer {
		return nil, fmt.Errorf("%w: %s in %s has %d bytes, and %d are taken; raise %s",
			ErrTooLarge, ask.what, r.session.host(), l.Size, r.limits.Layer, r.limits.LayerOption)
	}
	found, err := r.puller.Layer(asks(ctx, ask), r.name.Digest(l.Digest))
	if err != nil {
		return nil, r.session.describe(ctx, ask, err)
	}
	body, err := found.Compressed()
	if err != nil {
		return nil, r.session.describe(ctx, ask, err)
	}
	return &described{body, func(err error) error { return r.session.describe(ctx, ask, err) }}, nil
}

func isDigest(s string) bool {
	const prefix = "sha256:"
	if len(s) != len(prefix)+sha256.Size*2 || s[:len(prefix)] != prefix {
		return false
	}
	sum, err := hex.DecodeString(s[len(prefix):])
	return err == nil && hex.EncodeToString(sum) == s[len(prefix):]
}

// described has its errors in words.
type described struct {
	io.ReadCloser
	describe func(error) error
}

func (d *described) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = d.describe(err)
	}
	return n, err
}

func newSum() hash.Hash { return sha256.New() }

// errLayer: a blob is not what the manifest says.
var errLayer = errors.New("not the layer in the manifest")

// verified ends with an error rather than with the end when what was read is not the layer.
type verified struct {
	r    io.ReadCloser
	want Layer
	sum  hash.Hash
	n    int64
}

func (v *verified) Read(p []byte) (int, error) {
	if v.n > v.want.Size {
		return 0, errLayer
	}
	n, err := v.r.Read(p[:min(int64(len(p)), v.want.Size-v.n+1)])
	v.n += int64(n)
	v.sum.Write(p[:n])
	switch {
	case v.n > v.want.Size:
		return 0, errLayer
	case !errors.Is(err, io.EOF):
		return n, err
	case v.n < v.want.Size:
		return n, io.ErrUnexpectedEOF
	case "sha256:"+hex.EncodeToString(v.sum.Sum(nil)) != v.want.Digest:
		return n, errLayer
	}
	return n, io.EOF
}

func (v *verified) Close() error { return v.r.Close() }
