package controller

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
	"github.com/sluice-gitops/sluice/render-controller/internal/render"
	"github.com/sluice-gitops/sluice/render-controller/internal/seal"
	"github.com/sluice-gitops/sluice/render-controller/internal/store"
	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree"
)

// reasonAccessDenied is Flux's, for a reference that a rule forbids.
const reasonAccessDenied = "AccessDenied"

// observation is everything that one attempt has read.
type observation struct {
	name    types.NamespacedName
	subject client.Object
	state   plan.State
	// source as it was read.
	source   v1alpha1.Source
	artifact tree.Artifact
	// job is what to render, but for the path of the artifact; keys are what it may decrypt with.
	job  render.Job
	keys render.Keys
	// inputs name the versions of what was read besides: Kind/namespace/name, UID and resource version.
	inputs []string
	// settings says "same inputs, but for the artifact?". It may be a hash of secret values: it never leaves memory.
	settings [sha256.Size]byte
	// interval and retryInterval are the subject's.
	interval, retryInterval time.Duration
}

// problem is an error that becomes a [plan.Problem].
type problem struct{ plan.Problem }

func (p *problem) Error() string { return p.Message }

func problemf(reason, format string, args ...any) error {
	return &problem{plan.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}}
}

// waitingf is a problem that goes away by itself: its source has not come that far yet. Nobody needs to act.
func waitingf(reason, format string, args ...any) error {
	return &problem{plan.Problem{Reason: reason, Message: fmt.Sprintf(format, args...), Waiting: true}}
}

// soonf is a problem that may go away by itself, but that somebody may have to mend.
func (r *reconciler) soonf(reason, format string, args ...any) error {
	return &problem{plan.Problem{Reason: reason, Message: fmt.Sprintf(format, args...), Retry: r.options.RetryArtifact}}
}

// observe reads a subject and all that its rendering depends on.
func (r *reconciler) observe(ctx context.Context, name types.NamespacedName) (*observation, error) {
	o := &observation{name: name, subject: r.observer.newSubject()}
	err := r.client.Get(ctx, name, o.subject)
	if apierrors.IsNotFound(err) {
		return o, nil
	}
	if err != nil {
		return nil, err
	}
	o.state.Exists = true
	o.state.Deleting = !o.subject.GetDeletionTimestamp().IsZero()
	o.state.Subject = v1alpha1.Subject{
		Kind: r.observer.kind(), Name: name.Name, UID: o.subject.GetUID(), Generation: o.subject.GetGeneration(),
		RequestedAt: o.subject.GetAnnotations()[meta.ReconcileRequestAnnotation],
	}
	if o.state.Record, err = r.record(ctx, name); err != nil || o.state.Deleting {
		return o, err
	}
	o.state.Asked = plan.ReadLive(o.state.Subject, o.state.Record)
	for _, step := range []func(context.Context, *observation) error{r.observer.source, r.replay, r.observer.inputs, r.recall} {
		err := step(ctx, o)
		var known *problem
		if errors.As(err, &known) {
			o.state.Problem = &known.Problem
			return o, nil
		}
		if err != nil || o.state.Suspended || plan.Decide(&o.state).Action == plan.Yield {
			return o, err
		}
	}
	return o, nil
}

// record reads a subject's Render; nil when there is none.
func (r *reconciler) record(ctx context.Context, subject types.NamespacedName) (*v1alpha1.Render, error) {
	record := &v1alpha1.Render{}
	name := types.NamespacedName{Namespace: subject.Namespace, Name: v1alpha1.RecordName(r.observer.kind(), subject.Name)}
	err := r.client.Get(ctx, name, record)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return record, err
}

// sum computes the fingerprint of all inputs but the artifact.
func (o *observation) sum() error {
	raw, err := json.Marshal(struct {
		Job    render.Job
		Inputs []string
	}{o.job, o.inputs})
	if err != nil {
		return fmt.Errorf("write job: %w", err)
	}
	o.settings = sha256.Sum256(raw)
	return nil
}

// replay asks a new artifact what the last rendering asked the one before it.
func (r *reconciler) replay(ctx context.Context, o *observation) error {
	known := r.memory.get(o.name, o.state.Subject.UID)
	if len(known.trace) == 0 || known.artifact == o.artifact.Digest || known.generation != o.state.Subject.Generation {
		return nil
	}
	unpacked, release, err := r.acquire(ctx, o, r.options.Trees.Acquire)
	if err != nil {
		return err
	}
	defer release()
	o.state.Replayed = trace.Stands(known.trace, unpacked.Manifest.Answer)
	o.state.Yielded = known.yielded == o.artifact.Digest
	return nil
}

// recall adds what is known from earlier attempts.
func (r *reconciler) recall(ctx context.Context, o *observation) error {
	if err := o.sum(); err != nil {
		return err
	}
	known := r.memory.get(o.name, o.state.Subject.UID)
	if known.settings == o.settings && (known.artifact == o.artifact.Digest || o.state.Replayed) {
		o.state.Known = known.tag
	}
	if good := plan.Good(&o.state); good != nil {
		o.state.Sealed.OnDisk = r.options.Store.Has(r.stored(o), good.Digest, good.Size)
	}
	recipients, err := r.options.Seals.Recipients(ctx)
	if err != nil && !errors.Is(err, seal.ErrNoRecipients) && !errors.Is(err, seal.ErrInvalid) {
		return err
	}
	o.state.Sealed.Recipients = recipients.Fingerprint
	if resting := r.memory.resting(o); resting != nil && !o.state.Asked && plan.Decide(&o.state).Action == plan.Render {
		return &problem{*resting}
	}
	return nil
}

func (r *reconciler) stored(o *observation) store.Subject {
	return store.Subject{Kind: r.observer.kind(), Namespace: o.name.Namespace, Name: o.name.Name}
}

// reader reads from a cache, or live when the observation asks for it.
func (o *observation) reader(cached, live client.Reader) client.Reader {
	if o.state.Asked {
		return live
	}
	return cached
}

// setArtifact takes over what a source says about its artifact, or reports that it has none.
func (o *observation) setArtifact(source client.Object, artifact *meta.Artifact) error {
	o.source.UID = source.GetUID()
	if artifact == nil {
		return waitingf(render.ReasonArtifact, "%s '%s/%s' has no artifact yet", o.source.Kind, o.source.Namespace, o.source.Name)
	}
	o.source.Revision, o.source.Digest = artifact.Revision, artifact.Digest
	o.source.OriginRevision = artifact.Metadata[originRevision]
	o.artifact = tree.Artifact{URL: artifact.URL, Digest: artifact.Digest}
	return nil
}

// originRevision is where OCI artifacts say which revision they were made from.
const originRevision = "org.opencontainers.image.revision"

// notFound reports a source that is not there.
func (o *observation) notFound() error {
	return problemf(render.ReasonArtifact, "%s '%s/%s' not found", o.source.Kind, o.source.Namespace, o.source.Name)
}

// allow says why a reference of the subject may not be followed; nil when it may.
func (o *observation) allow(checker access.Checker, kind, namespace, name string) error {
	_, err := checker.Reference(o.name.Namespace, kind, namespace, name)
	var denied *access.DeniedError
	if errors.As(err, &denied) {
		return problemf(reasonAccessDenied, "%s", denied.Message)
	}
	if err != nil {
		return problemf(render.ReasonArtifact, "%v", err)
	}
	return nil
}

// depend notes the version of an object that the rendering depends on.
func (o *observation) depend(kind string, object client.Object) {
	o.inputs = append(o.inputs, fmt.Sprintf("%s/%s/%s %s %s",
		kind, object.GetNamespace(), object.GetName(), object.GetUID(), object.GetResourceVersion()))
}
