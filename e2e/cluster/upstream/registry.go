package upstream

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Media types of an artifact as the flux command line pushes it.
const (
	configType  types.MediaType = "application/vnd.cncf.flux.config.v1+json"
	contentType types.MediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// Registry is an OCI registry.
type Registry struct{ *server }

// StartRegistry starts an empty one; Close ends it.
func StartRegistry() (*Registry, error) {
	s, err := start(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	return &Registry{s}, err
}

// Push does what flux push artifact does: it packs files by path as the one layer of an artifact, and returns its digest.
// reference is repository:tag.
func (r *Registry) Push(ctx context.Context, reference string, files map[string][]byte, annotations map[string]string) (digest string, err error) {
	to, err := r.tag(reference)
	if err != nil {
		return "", err
	}
	packed, err := Pack(files)
	if err != nil {
		return "", err
	}
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), configType),
		mutate.Addendum{Layer: static.NewLayer(packed, contentType)})
	if err != nil {
		return "", fmt.Errorf("make artifact %s: %w", reference, err)
	}
	annotated, _ := mutate.Annotations(image, annotations).(v1.Image)
	sum, err := annotated.Digest()
	if err != nil {
		return "", fmt.Errorf("make artifact %s: %w", reference, err)
	}
	if err := remote.Write(to, annotated, remote.WithContext(ctx)); err != nil {
		return "", fmt.Errorf("push %s: %w", reference, err)
	}
	return sum.String(), nil
}

// Tag gives what one reference leads to another tag.
func (r *Registry) Tag(ctx context.Context, reference, tag string) error {
	from, err := r.tag(reference)
	if err != nil {
		return err
	}
	found, err := remote.Get(from, remote.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("tag %s: %w", reference, err)
	}
	if err := remote.Tag(from.Context().Tag(tag), found, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("tag %s: %w", reference, err)
	}
	return nil
}

func (r *Registry) tag(reference string) (name.Tag, error) {
	tag, err := name.NewTag(r.Addr()+"/"+reference, name.Insecure, name.StrictValidation)
	if err != nil {
		return tag, fmt.Errorf("reference %s: %w", reference, err)
	}
	return tag, nil
}

// Pack makes a gzipped tar of files by path, the same one for the same files.
func Pack(files map[string][]byte) ([]byte, error) {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: path, Mode: 0o600, Size: int64(len(files[path])), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", path, err)
		}
		if _, err := archive.Write(files[path]); err != nil {
			return nil, fmt.Errorf("pack %s: %w", path, err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return packed.Bytes(), nil
}
