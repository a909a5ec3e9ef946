package attempt

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
	"github.com/sluice-gitops/sluice/source-controller/internal/store"
)

// finish ends an attempt with what its outcome calls for.
func (r *Runner[O]) finish(ctx context.Context, obj O, kind Kind[O], out Outcome[O], started time.Time) (ctrl.Result, error) {
	after, ok := obj.DeepCopyObject().(O)
	if !ok {
		return ctrl.Result{}, fmt.Errorf("copy object: it becomes a %T", after)
	}
	r.status(after, kind, out)
	r.Reporter.Metrics.Received(r.Reporter.Kind, out.Received)
	return r.Reporter.Finish(ctx, report.Ending{
		Before: obj, After: after, Decision: out.Decision, Problem: out.Problem, Revision: cmp.Or(out.Revision, out.Upstream),
		Made: out.Made, Restored: out.restored, Collected: out.collected, Change: out.Change, Done: out.Done, Source: out.Source,
		Interval: obj.GetRequeueAfter(), Took: r.Clock().Sub(started),
	})
}

// status changes an object's status to what the outcome calls for.
func (r *Runner[O]) status(obj O, kind Kind[O], out Outcome[O]) {
	s := kind.Status(obj)
	if token, ok := meta.ReconcileAnnotationValue(obj.GetAnnotations()); ok {
		s.Handled.SetLastHandledReconcileRequest(token)
	}
	if out.Step == plan.Rest {
		return
	}
	o := plan.Outcome{
		Generation: obj.GetGeneration(), Problem: out.Problem, Reason: cmp.Or(out.Reason, meta.SucceededReason), Message: out.Message,
		Upstream: out.Upstream, Artifact: out.Artifact, Stored: out.Stored, Verified: out.Verified, Now: r.Clock(),
	}
	if out.Problem == nil {
		if *s.Artifact = out.Artifact.DeepCopy(); o.Message == "" {
			o.Message = fmt.Sprintf("stored artifact for revision '%s'", out.Artifact.Revision)
		}
		if out.Note != nil {
			out.Note(obj)
		}
	}
	if a := *s.Artifact; a != nil {
		// --storage-adv-addr may be another one than it was.
		a.URL = r.Store.URL(a.Path)
		if s.URL != nil {
			*s.URL = r.Store.URL(store.Path(r.Reporter.Kind, obj.GetNamespace(), obj.GetName(), store.Latest))
		}
		o.Stamp(a)
	}
	*s.Conditions = plan.Conditions(*s.Conditions, o)
	*s.ObservedGeneration = plan.ObservedGeneration(*s.ObservedGeneration, o)
}

// New is the artifact that a file holds, without its time and URL. What turns out to be what was advertised already is not
// advertised anew.
func New(old *meta.Artifact, revision, file string, written store.Written, metadata map[string]string) *meta.Artifact {
	made := &meta.Artifact{Path: file, Revision: revision, Digest: written.Digest, Size: &written.Size, Metadata: metadata}
	if old.HasRevision(made.Revision) && old.HasDigest(made.Digest) && old.Path == file {
		made.LastUpdateTime = old.LastUpdateTime
	}
	return made
}
