package cosign

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/registry"
)

// reader finds the signatures of an artifact in its registry.
type reader struct {
	artifact Artifact
	keyed    bool

	puller *remote.Puller
	limits registry.Limits
	digest digest
	seen   int
}

// signatures is all that is attached to the artifact as its signature: bundles that refer to it (cosign 3), then the layers of
// what its digest is the tag of (cosign 2). An error ends them: a registry that does not answer is no reason to take what it
// did answer for all there is.
func (r *reader) signatures(ctx context.Context) iter.Seq2[signature, error] {
	return func(yield func(signature, error) bool) {
		err := r.open()
		more := true
		if err == nil {
			more, err = r.bundles(ctx, yield)
		}
		if err == nil && more {
			_, err = r.layers(ctx, yield)
		}
		if err != nil {
			yield(signature{}, r.artifact.Explain(ctx, err))
		}
	}
}

func (r *reader) open() error {
	algorithm, sum, _ := strings.Cut(r.artifact.Ref.DigestStr(), ":")
	var err error
	if r.digest, err = newDigest(algorithm, sum); err != nil {
		return err
	}
	r.limits = r.artifact.Bounds()
	through := r.artifact.Bounded()
	if r.artifact.LoggedIn {
		// With a transport of this type nothing is asked about logins; without a scheme, it adds none.
		registry := r.artifact.Ref.Registry
		if through, err = transport.FromToken(registry, authn.Anonymous, through, &transport.Challenge{}, &transport.Token{}); err != nil {
			return err
		}
	}
	r.puller, err = remote.NewPuller(
		remote.WithAuth(r.artifact.Authenticator()),
		remote.WithTransport(through),
		// What fails is tried again at the next attempt, which waits for longer each time.
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), remote.WithRetryStatusCodes(),
	)
	return err
}

// count ends the reading when there are more signatures than are looked at.
func (r *reader) count() error {
	if r.seen++; r.seen > r.limits.Signatures {
		return r.limits.TooMany()
	}
	return nil
}

// bundles reads what refers to the artifact. The result is whether more is wanted.
func (r *reader) bundles(ctx context.Context, yield func(signature, error) bool) (bool, error) {
	index, err := remote.Referrers(r.artifact.Ref, remote.WithContext(ctx), remote.Reuse(r.puller))
	if err != nil {
		return true, noReferrers(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return true, nil // what is no index refers to nothing
	}
	for _, referrer := range manifest.Manifests {
		if isOther(referrer.ArtifactType) {
			continue
		}
		if err := r.count(); err != nil {
			return false, err
		}
		found, err := r.bundle(ctx, referrer.Digest.String())
		if err != nil || found != nil && !yield(*found, nil) {
			return false, err
		}
	}
	return true, nil
}

// bundle reads one referrer; nil is for one that is no bundle.
func (r *reader) bundle(ctx context.Context, at string) (*signature, error) {
	found, err := r.puller.Get(ctx, r.artifact.Ref.Context().Digest(at))
	if err != nil {
		return &signature{flaw: unreadable()}, absent(err)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(found.Manifest))
	if err != nil {
		return &signature{flaw: unreadable()}, nil
	}
	for _, layer := range manifest.Layers {
		if !isBundle(string(layer.MediaType)) {
			continue
		}
		data, flaw, err := r.blob(ctx, layer)
		if err != nil || flaw != nil {
			return &signature{flaw: flaw}, err
		}
		found := bundled(data, r.digest)
		return &found, nil
	}
	return nil, nil
}

// layers reads the signatures that cosign 2 keeps under a tag.
func (r *reader) layers(ctx context.Context, yield func(signature, error) bool) (bool, error) {
	tag := r.artifact.Ref.Context().Tag(strings.Replace(r.artifact.Ref.DigestStr(), ":", "-", 1) + ".sig")
	found, err := r.puller.Get(ctx, tag)
	if err != nil {
		return true, absent(err)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(found.Manifest))
	if err != nil {
		return yield(signature{flaw: unreadable()}, nil), nil
	}
	for _, layer := range manifest.Layers {
		if err := r.count(); err != nil {
			return false, err
		}
		found, err := r.layer(ctx, layer)
		if err != nil || !yield(found, nil) {
			return false, err
		}
	}
	return true, nil
}

func (r *reader) layer(ctx context.Context, layer v1.Descriptor) (signature, error) {
	if layer.MediaType != layerType {
		return signature{flaw: unreadable()}, nil
	}
	payload, flaw, err := r.blob(ctx, layer)
	if err != nil || flaw != nil {
		return signature{flaw: flaw}, err
	}
	return layered(payload, layer.Annotations, r.artifact.Ref.DigestStr(), r.keyed), nil
}

// blob reads what a descriptor names, and checks that it is what its digest says.
func (r *reader) blob(ctx context.Context, of v1.Descriptor) ([]byte, *doubt, error) {
	if of.Size > r.limits.Signature {
		return nil, tooLarge(r.limits.Signature), nil
	}
	layer, err := r.puller.Layer(ctx, r.artifact.Ref.Context().Digest(of.Digest.String()))
	if err != nil {
		return nil, unreadable(), absent(err)
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, unreadable(), absent(err)
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, r.limits.Signature+1))
	switch {
	case err != nil:
		return nil, nil, err
	case int64(len(data)) > r.limits.Signature:
		return nil, tooLarge(r.limits.Signature), nil
	}
	return data, nil, nil
}

// absent is nil for an answer that says that something is not there.
func absent(err error) error {
	if registry.Status(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// noReferrers is nil for an answer by which registries say that they keep no list of what refers to an artifact. That they refuse
// the login shows at the next question.
func noReferrers(err error) error {
	switch status := registry.Status(err); {
	case status == http.StatusTooManyRequests, status == 0:
		return err
	case status < http.StatusInternalServerError, status == http.StatusNotImplemented:
		return nil
	}
	return err
}
