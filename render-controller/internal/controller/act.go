package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/sluice-gitops/sluice/api/fileserver"
	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree"
)

// outcome is what an attempt came to.
type outcome struct {
	// problem is set when there is no rendering of what subject and source ask for.
	problem *plan.Problem
	// rendering is the sealed content; nil to leave that of the record.
	rendering *v1alpha1.Rendering
	// warnings for the user.
	warnings []string
	// built says that there was a build, and took how long it lasted.
	built bool
	took  time.Duration
}

// act does what was decided. The outcome is nil when there is nothing to report.
func (r *reconciler) act(ctx context.Context, o *observation, action plan.Action) (*outcome, error) {
	switch action {
	case plan.Forget:
		r.memory.forget(o.name)
		return nil, r.options.Store.Remove(r.stored(o))
	case plan.Fail:
		return &outcome{problem: o.state.Problem}, nil
	case plan.Yield:
		r.memory.update(o.name, func(m *memo) { m.yielded = o.artifact.Digest })
		return nil, errYielded
	case plan.Keep:
		known := r.memory.update(o.name, func(m *memo) { m.artifact, m.missing, m.lost = o.artifact.Digest, "", loss{} })
		return &outcome{rendering: plan.Good(&o.state), warnings: known.warnings}, nil
	case plan.Render:
		done, err := r.render(ctx, o)
		if problem := r.problemOf(o, err); problem != nil {
			return &outcome{problem: problem}, nil
		}
		return done, err
	default:
		return nil, nil
	}
}

// problemOf is what an error means to a user; nil for one that trying again may mend.
func (r *reconciler) problemOf(o *observation, err error) *plan.Problem {
	var failed *render.Failure
	var known *problem
	switch {
	case errors.As(err, &failed) && failed.Lost:
		lost := r.memory.lose(o, plan.Problem{Reason: failed.Reason, Message: failed.Message})
		return &lost
	case errors.As(err, &failed):
		return &plan.Problem{Reason: failed.Reason, Message: failed.Message}
	case errors.As(err, &known):
		return &known.Problem
	case errors.Is(err, seal.ErrNoRecipients):
		return &plan.Problem{Reason: render.ReasonArtifact, Message: seal.ErrNoRecipients.Error(), Waiting: true}
	case errors.Is(err, seal.ErrInvalid):
		return &plan.Problem{Reason: render.ReasonArtifact, Message: err.Error(), Retry: r.options.RetryArtifact, Operator: true}
	default:
		return nil
	}
}

// isolate lets only one subject at a time through that workers were lost on. The others are never kept from all workers.
func (r *reconciler) isolate(o *observation) (release func(), err error) {
	if r.memory.get(o.name, o.state.Subject.UID).lost.times == 0 {
		return func() {}, nil
	}
	select {
	case r.options.quarantine <- struct{}{}:
		return func() { <-r.options.quarantine }, nil
	default:
		return nil, errQuarantined
	}
}

// render renders and, when the content is not the one that is sealed already, seals and stores it.
func (r *reconciler) render(ctx context.Context, o *observation) (*outcome, error) {
	release, err := r.fetch(ctx, o)
	if err != nil {
		return nil, err
	}
	defer release()
	leave, err := r.isolate(o)
	if err != nil {
		return nil, err
	}
	defer leave()
	result, took, err := r.build(ctx, o)
	if err != nil {
		return nil, err
	}
	tag, output, err := r.tags(ctx, &result)
	if err != nil {
		return nil, err
	}
	done := &outcome{rendering: plan.Good(&o.state), warnings: result.Warnings, built: true, took: took}
	if plan.MustSeal(&o.state, string(tag)) || r.memory.outdated(o, output) {
		if done.rendering, err = r.seal(ctx, o, tag, &result); err != nil {
			return nil, err
		}
	}
	r.memory.update(o.name, func(m *memo) {
		*m = memo{
			uid: o.state.Subject.UID, generation: o.state.Subject.Generation, settings: o.settings, artifact: o.artifact.Digest,
			tag: string(tag), output: output, trace: result.Trace, warnings: result.Warnings,
		}
	})
	return done, nil
}

// build has a worker do the job. What was called off is neither made nor failed.
func (r *reconciler) build(ctx context.Context, o *observation) (render.Result, time.Duration, error) {
	started := r.memory.clock.Now()
	result, err := r.options.Renderer.Render(ctx, &o.job, o.keys)
	took := r.memory.clock.Since(started)
	if ctx.Err() == nil {
		r.options.Metrics.Built(r.observer.kind(), took, err != nil)
	}
	return result, took, err
}

// fetch brings the artifact to disk, and puts its path into the job.
func (r *reconciler) fetch(ctx context.Context, o *observation) (release func(), err error) {
	if o.job.Helm != nil {
		file, release, err := r.acquire(ctx, o, r.options.Trees.AcquireFile)
		if err == nil {
			o.job.Helm.ChartPath = file.Path
		}
		return release, err
	}
	unpacked, release, err := r.acquire(ctx, o, r.options.Trees.Acquire)
	if err == nil {
		o.job.Tree = unpacked.Path
	}
	return release, err
}

// acquire has the artifact on disk until it is released. The error is a [*problem] when its user should know, and [errAway]
// the first time that nothing can be had from the artifact's URL.
func (r *reconciler) acquire(ctx context.Context, o *observation,
	from func(context.Context, tree.Artifact) (*tree.Tree, func(), error),
) (*tree.Tree, func(), error) {
	held, release, err := from(ctx, o.artifact)
	if err == nil || ctx.Err() != nil {
		return held, release, err
	}
	refused := errors.Is(err, tree.ErrInvalid)
	if !refused && !r.memory.missing(o.name, o.state.Subject.UID, o.artifact.URL) {
		return nil, nil, fmt.Errorf("%w: %w", errAway, err)
	}
	switch {
	case errors.Is(err, tree.ErrNotFound):
		err = waitingf(render.ReasonArtifact, "the artifact of %s '%s/%s' is not there any more; it is asked for every %s. Reconcile the %s if that stays so",
			o.source.Kind, o.source.Namespace, o.source.Name, r.options.RetryArtifact, o.source.Kind)
	case refused:
		err = problemf(render.ReasonArtifact, "artifact of %s '%s/%s': %s", o.source.Kind, o.source.Namespace, o.source.Name, redact.Error(err))
	default:
		err = r.soonf(render.ReasonArtifact, "artifact of %s '%s/%s': %s; it is asked for every %s",
			o.source.Kind, o.source.Namespace, o.source.Name, redact.Error(err), r.options.RetryArtifact)
	}
	return nil, nil, err
}

// tags say which content it is: by the inputs of a release, by the objects otherwise; and what came out.
func (r *reconciler) tags(ctx context.Context, result *render.Result) (tag, output rendering.Tag, err error) {
	key, err := r.options.Seals.Key(ctx)
	if err != nil {
		return "", "", err
	}
	output, err = rendering.ComputeTag(key, result.Content)
	if err != nil {
		return "", "", &render.Failure{Reason: render.ReasonBuild, Message: err.Error()}
	}
	if result.Identity != nil {
		return rendering.TagBytes(key, result.Identity...), output, nil
	}
	return output, output, nil
}

// seal encrypts a content to sync-controller and stores it.
func (r *reconciler) seal(ctx context.Context, o *observation, tag rendering.Tag, result *render.Result) (*v1alpha1.Rendering, error) {
	recipients, err := r.options.Seals.Recipients(ctx)
	if err != nil {
		return nil, err
	}
	write := func(w io.Writer) error {
		return rendering.Seal(w, recipients.Keys, o.state.Subject.UID, tag, result.Content)
	}
	file, err := r.options.Store.Put(r.stored(o), write)
	if errors.Is(err, syscall.ENOSPC) && r.options.Trees.MakeRoom() {
		file, err = r.options.Store.Put(r.stored(o), write)
	}
	if errors.Is(err, rendering.ErrLimit) {
		return nil, &render.Failure{Reason: render.ReasonBuild, Message: err.Error()}
	}
	if err != nil {
		return nil, &problem{plan.Problem{
			Reason: render.ReasonArtifact, Message: fmt.Sprintf("render-controller cannot keep the rendering on its volume: %v", err),
			Retry: r.options.RetryArtifact, Operator: true,
		}}
	}
	return &v1alpha1.Rendering{
		Tag: string(tag), Digest: file.Digest, URL: fileserver.URL(r.options.Advertised, file.Path), Size: file.Size,
		Objects: int64(len(result.Content.Objects)), Recipients: recipients.Fingerprint, Version: result.Version,
	}, nil
}
