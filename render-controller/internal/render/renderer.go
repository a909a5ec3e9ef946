package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/render-controller/internal/sops"
	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
	"github.com/sluice-gitops/sluice/render-controller/internal/worker"
)

// Keys decrypts data keys with the keys of one subject, and with no other's.
type Keys interface {
	Unwrap(wrapped sops.WrappedKey) ([]byte, error)
}

// Result of a rendering. It is held in memory only.
type Result struct {
	Content rendering.Content
	// Identity says "same content?" for a release; nil when the content itself says it.
	Identity [][]byte
	// Version of the chart of a release.
	Version string
	// Trace of what the build read, when it is known.
	Trace []trace.Entry
	// Warnings for the user, without secret values.
	Warnings []string
}

// Renderer renders in the children of a pool. It is safe for concurrent use.
type Renderer struct {
	Pool *worker.Pool
}

// Render does a job. Keys may be nil when it decrypts nothing. The error is a [*Failure] when the user can mend it, or when
// the worker was lost on it.
func (r *Renderer) Render(ctx context.Context, job *Job, keys Keys) (Result, error) {
	collector := &collector{keys: keys}
	raw, err := r.Pool.Run(ctx, job, collector)
	var lost *worker.LostError
	if errors.As(err, &lost) && ctx.Err() == nil {
		return Result{}, &Failure{Reason: ReasonBuild, Message: err.Error(), Lost: true}
	}
	var failed *Failure
	if errors.As(err, &failed) {
		return Result{}, failed
	}
	if err != nil {
		return Result{}, fmt.Errorf("render: %w", err)
	}
	var end outcome
	if err := json.Unmarshal(raw, &end); err != nil {
		return Result{}, fmt.Errorf("render: read the worker's result: %w", err)
	}
	if end.Failure != nil {
		return Result{}, end.Failure
	}
	if end.Objects != len(collector.objects) {
		return Result{}, fmt.Errorf("render: %d of %d objects have arrived", len(collector.objects), end.Objects)
	}
	return Result{
		Content:  rendering.Content{Release: end.Release, Objects: collector.objects},
		Identity: end.Identity, Version: end.Version, Trace: end.Trace, Warnings: end.Warnings,
	}, nil
}

// collector is the parent's side of a job.
type collector struct {
	keys    Keys
	objects []rendering.Object
	size    int
}

// Call answers the child's questions.
func (c *collector) Call(_ context.Context, method string, params json.RawMessage) (any, error) {
	if method != methodUnwrap || c.keys == nil {
		return nil, errors.New("not a question for this job")
	}
	var wrapped sops.WrappedKey
	if err := json.Unmarshal(params, &wrapped); err != nil {
		return nil, errors.New("not a wrapped key")
	}
	return c.keys.Unwrap(wrapped)
}

// Part takes an object.
func (c *collector) Part(raw json.RawMessage) error {
	c.size += len(raw)
	if len(c.objects) >= rendering.MaxObjects {
		return &Failure{Reason: ReasonBuild, Message: fmt.Sprintf("more than %d objects", rendering.MaxObjects)}
	}
	if c.size > rendering.MaxPlaintext {
		return &Failure{Reason: ReasonBuild, Message: fmt.Sprintf("the objects have more than %d bytes", rendering.MaxPlaintext)}
	}
	var got part
	if err := json.Unmarshal(raw, &got); err != nil {
		return errors.New("the worker has sent what is not an object")
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(got.Object); err != nil {
		return errors.New("the worker has sent what is not an object")
	}
	c.objects = append(c.objects, rendering.Object{Tainted: got.Tainted, Phase: got.Phase, Object: object})
	return nil
}
