package health

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/runtime/statusreaders"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/redact"
)

// look reads one object and computes its health.
func look(ctx context.Context, reader client.Reader, ref Ref, exprs *Expressions) result {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(ref.Kind())
	err := reader.Get(ctx, client.ObjectKey{Namespace: ref.ID.Namespace, Name: ref.ID.Name}, live)
	switch {
	case apierrors.IsNotFound(err) && ref.MayVanish:
		return result{state: healthy}
	case apierrors.IsNotFound(err):
		return result{state: progressing, reason: "does not exist"}
	case meta.IsNoMatchError(err):
		return result{state: progressing, reason: "no such kind is installed"}
	case err != nil:
		return result{state: progressing, reason: "cannot be read: " + redact.Error(err)}
	}
	r := assess(ctx, live, exprs)
	if r.state == healthy {
		return r
	}
	r.live = live
	if ref.Tainted {
		r.reason = "its status says so; the reason is not shown, because the object holds secret values"
	}
	return r
}

// assess computes the health of an object that was read.
func assess(ctx context.Context, live *unstructured.Unstructured, exprs *Expressions) result {
	kind := live.GroupVersionKind().GroupKind()
	var computed *status.Result
	var err error
	switch evaluator := exprs.find(kind); {
	case evaluator != nil:
		computed, err = evaluator.Evaluate(ctx, live)
	case kind == schema.GroupKind{Group: "batch", Kind: "Job"}:
		job := statusreaders.ComputeJobStatus(live)
		computed = &job
	default:
		computed, err = status.Compute(live)
	}
	if err != nil {
		return result{state: progressing, reason: "health cannot be computed: " + err.Error()}
	}
	switch computed.Status {
	case status.CurrentStatus:
		return result{state: healthy}
	case status.FailedStatus:
		return result{state: failed, reason: reasonOf(live, computed)}
	case status.TerminatingStatus:
		return result{state: progressing, reason: "is being deleted"}
	case status.InProgressStatus, status.NotFoundStatus, status.UnknownStatus:
	}
	return result{state: progressing, reason: reasonOf(live, computed)}
}

// reasonOf is why an object is not healthy: what was computed, or what its Ready condition says.
func reasonOf(live *unstructured.Unstructured, computed *status.Result) string {
	if computed.Message != "" {
		return computed.Message
	}
	with, err := status.GetObjectWithConditions(live.Object)
	if err != nil {
		return ""
	}
	for _, c := range with.Status.Conditions {
		if c.Type == "Ready" {
			return strings.TrimPrefix(c.Reason+": "+c.Message, ": ")
		}
	}
	return ""
}

// shorten makes one short line of a reason.
func shorten(reason string) string {
	line := strings.Join(strings.Fields(strings.ToValidUTF8(redact.URL(reason), "")), " ")
	if len(line) <= maxReason {
		return line
	}
	end := maxReason
	for !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end] + "…"
}
