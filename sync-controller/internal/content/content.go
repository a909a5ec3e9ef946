package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"filippo.io/age"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/store"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Ref names a content.
type Ref struct {
	// Tag says what is in it (see rendering.Tag), Digest is that of the sealed file.
	Tag    string `json:"tag,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// Fetcher gets a sealed content, checked against its digest and size.
type Fetcher interface {
	Get(ctx context.Context, url, digest string, size int64) ([]byte, error)
}

// Opener opens contents. Fill in the fields; it is safe for concurrent use, one subject at a time.
type Opener struct {
	// Store keeps sealed contents.
	Store *store.Store
	// Fetcher gets them, Identities open them.
	Fetcher    Fetcher
	Identities []age.Identity
	// Mapper knows which kinds are namespaced.
	Mapper apimeta.RESTMapper
}

// Owner is whose content it is.
type Owner struct {
	Key subject.Key
	UID types.UID
	// Namespace is given to objects that name none; empty for not.
	Namespace string
}

// Goal is the content that an attempt is about.
type Goal struct {
	Tag string
	// LastApplied is the one that is kept.
	LastApplied Ref
	Render      *v1alpha1.Render
	// Release is the version that is about to be released; 0 for none. The same chart and values are another content as
	// another release: the Render's own is taken if it was made for that version.
	Release int
}

// OpenGoal opens the content of an attempt: the kept one when it is the same, or else what the Render names.
func (o Opener) OpenGoal(ctx context.Context, owner Owner, goal Goal) (rendering.Content, Ref, error) {
	if have := goal.LastApplied; have.Tag == goal.Tag && !goal.renderedForRelease() {
		content, err := o.Open(owner, have)
		if err == nil {
			return content, have, nil
		}
	}
	if goal.Render == nil || goal.Render.Rendering == nil {
		return rendering.Content{}, Ref{}, errors.New("there is no Render record to fetch the content of")
	}
	r := goal.Render.Rendering
	if err := o.fetch(ctx, owner.Key, r, goal.LastApplied); err != nil {
		return rendering.Content{}, Ref{}, err
	}
	next := Ref{Tag: r.Tag, Digest: r.Digest}
	content, err := o.Open(owner, next)
	return content, next, err
}

// renderedForRelease says whether the Render was made for the version that is about to be released.
func (g Goal) renderedForRelease() bool {
	return g.Release != 0 && g.Render != nil && g.Render.Release != nil && g.Render.Release.Revision == g.Release
}

// fetch keeps a sealed content that is not kept yet, beside the last applied one.
func (o Opener) fetch(ctx context.Context, key subject.Key, r *v1alpha1.Rendering, lastApplied Ref) error {
	if _, err := o.Store.Sealed(key, r.Digest); !errors.Is(err, store.ErrAbsent) {
		return nil
	}
	sealed, err := o.Fetcher.Get(ctx, r.URL, r.Digest, r.Size)
	if err != nil {
		return err
	}
	if err := o.Store.Retain(key, lastApplied.Digest); err != nil { // contents that were refused
		return err
	}
	return o.Store.PutSealed(key, r.Digest, sealed)
}

// Open opens a content that is kept.
func (o Opener) Open(owner Owner, ref Ref) (rendering.Content, error) {
	sealed, err := o.Store.Sealed(owner.Key, ref.Digest)
	if err != nil {
		return rendering.Content{}, err
	}
	content, err := rendering.Open(bytes.NewReader(sealed), o.Identities, owner.UID, rendering.Tag(ref.Tag))
	if err != nil {
		return rendering.Content{}, fmt.Errorf("open the rendering: %w", err)
	}
	if owner.Namespace != "" {
		if _, err := DefaultNamespace(unstructuredObjects(content), o.Mapper, owner.Namespace); err != nil {
			return rendering.Content{}, err
		}
	}
	apply.DropNamespaces(o.Mapper, content.Objects)
	return content, nil
}

// Peek opens what a Render names without keeping it: to see what another subject is about to apply.
func (o Opener) Peek(ctx context.Context, render *v1alpha1.Render) (rendering.Content, error) {
	r := render.Rendering
	sealed, err := o.Fetcher.Get(ctx, r.URL, r.Digest, r.Size)
	if err != nil {
		return rendering.Content{}, err
	}
	content, err := rendering.Open(bytes.NewReader(sealed), o.Identities, render.Subject.UID, rendering.Tag(r.Tag))
	if err != nil {
		return rendering.Content{}, err
	}
	apply.DropNamespaces(o.Mapper, content.Objects)
	return content, nil
}
