package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Manifest says what an artifact consists of.
type Manifest struct {
	// Digest is what was asked for, MediaType what it turned out to be. Of an index, the rest is that of the artifact for
	// linux/amd64 in it.
	Digest, MediaType string
	// ConfigMediaType tells what kind of artifact it is.
	ConfigMediaType string
	Annotations     map[string]string
	Layers          []Layer
}

// Layer is a blob of an artifact.
type Layer struct {
	MediaType string
	// Digest is sha256:<hex>.
	Digest string
	// Size in bytes, as it is sent.
	Size        int64
	Annotations map[string]string
}

func (r *Repository) manifest(what string) asking {
	return asking{what: what, limit: r.limits.Manifest, tooLarge: fmt.Errorf(
		"%w: the manifest of %s in %s has more than %d bytes, which is a fixed limit", ErrTooLarge, what, r.session.host(), r.limits.Manifest)}
}

// Resolve is the digest that a tag has now. It is one request: HEAD, or GET once the registry has refused a HEAD.
func (r *Repository) Resolve(ctx context.Context, tag string) (digest string, err error) {
	ref := r.name.Tag(tag)
	ask := r.manifest(fmt.Sprintf("the tag %q", tag))
	ctx = asks(ctx, ask)
	if !r.session.memory.headless() {
		found, err := r.puller.Head(ctx, ref)
		if err == nil {
			return found.Digest.String(), nil
		}
		if !refusesHead(err) || ctx.Err() != nil {
			return "", r.session.describe(ctx, ask, err)
		}
	}
	found, err := r.puller.Get(ctx, ref)
	if err != nil {
		return "", r.session.describe(ctx, ask, err)
	}
	r.session.memory.learnHeadless()
	sum := sha256.Sum256(found.Manifest)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// refusesHead is set when a GET may have another answer: some registries do not take a HEAD, or answer it without a digest.
func refusesHead(err error) bool {
	var status *statusError
	if !errors.As(err, &status) {
		return !network(err)
	}
	switch status.status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return status.host == ""
	}
	return false
}

// Manifest reads the manifest with a digest.
func (r *Repository) Manifest(ctx context.Context, digest string) (*Manifest, error) {
	raw, mediaType, err := r.read(ctx, digest)
	if err != nil {
		return nil, err
	}
	if mediaType.IsIndex() {
		child, err := r.child(digest, raw)
		if err != nil {
			return nil, err
		}
		if raw, mediaType, err = r.read(ctx, child); err != nil {
			return nil, err
		}
	}
	if !mediaType.IsImage() {
		return nil, r.noArtifact(digest)
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil || parsed.Config.MediaType == "" && len(parsed.Layers) == 0 {
		return nil, r.noArtifact(digest)
	}
	m := &Manifest{
		Digest: digest, MediaType: string(mediaType), ConfigMediaType: string(parsed.Config.MediaType), Annotations: parsed.Annotations,
	}
	for _, l := range parsed.Layers {
		m.Layers = append(m.Layers, Layer{string(l.MediaType), l.Digest.String(), l.Size, l.Annotations})
	}
	return m, nil
}

// child is what an index has for linux/amd64, which is what Flux takes of one.
func (r *Repository) child(digest string, raw []byte) (string, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return "", r.noArtifact(digest)
	}
	for _, m := range index.Manifests {
		if m.MediaType.IsImage() && (m.Platform == nil || m.Platform.OS == "linux" && m.Platform.Architecture == "amd64") {
			return m.Digest.String(), nil
		}
	}
	return "", fmt.Errorf("%w: %s in %s is an index of several artifacts, none of which is for linux/amd64; push a single artifact",
		ErrManifest, digest, r.session.host())
}

func (r *Repository) noArtifact(digest string) error {
	return fmt.Errorf("%w: %s in %s is neither an OCI nor a Docker (schema 2) manifest; check spec.url and spec.ref",
		ErrManifest, digest, r.session.host())
}

// read gets a manifest, and makes sure that it is the one with the digest, whatever the registry calls it.
func (r *Repository) read(ctx context.Context, digest string) ([]byte, types.MediaType, error) {
	ask := r.manifest(digest)
	if !isDigest(digest) {
		return nil, "", fmt.Errorf("%w: %q is not sha256: and 64 hexadecimal digits in lower case", ErrDigest, digest)
	}
	found, err := r.puller.Get(asks(ctx, ask), r.name.Digest(digest))
	if err != nil {
		return nil, "", r.session.describe(ctx, ask, r.mismatch(digest, found, err))
	}
	sum := sha256.Sum256(found.Manifest)
	if "sha256:"+hex.EncodeToString(sum[:]) != digest {
		return nil, "", r.wrongManifest(digest)
	}
	return found.Manifest, found.MediaType, nil
}

// mismatch finds the library's error about a wrong digest, which has no type: it is what is left of a whole answer.
func (r *Repository) mismatch(digest string, found *remote.Descriptor, err error) error {
	if found != nil || network(err) {
		return err
	}
	return r.wrongManifest(digest)
}

func (r *Repository) wrongManifest(digest string) error {
	return fmt.Errorf("%w: %s sends another manifest than %s, which is not used; push the artifact again, or ask whoever runs the registry",
		ErrDigest, r.session.host(), digest)
}
