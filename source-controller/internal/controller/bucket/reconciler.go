// Package bucket reconciles Buckets: it finds what a bucket of an object storage holds now, and stores that as an artifact.
//
// The path of an attempt is that of package attempt. What is a Bucket's own: connect.go and login.go find out who asks whom, observe.go
// lists, act.go makes the artifact.
package bucket

import (
	"context"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/aws-sdk-go-v2/aws"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/oauth2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/sluice-gitops/sluice/source-controller/internal/attempt"
	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const defaultTimeout = time.Minute

type outcome = attempt.Outcome[*sourcev1.Bucket]

// Clouds log in to clouds, as this controller or as a ServiceAccount. Their errors are [plan.Problem]s.
type Clouds interface {
	AWS(ctx context.Context, s identity.Subject, region string) (aws.CredentialsProvider, error)
	GCP(ctx context.Context, s identity.Subject) (oauth2.TokenSource, error)
	Azure(ctx context.Context, s identity.Subject) (azcore.TokenCredential, error)
	// Forget ends the metrics of an object that is deleted.
	Forget(kind, namespace, name string)
}

// Connections reach servers.
type Connections interface {
	Transport(peer wire.Peer) (rt *http.Transport, done func())
}

// Reconciler reconciles Buckets. Every field must be set.
type Reconciler struct {
	attempt.Runner[*sourcev1.Bucket]

	// Secrets reads Secrets.
	Secrets secret.Reader
	// Clouds are for those who have no Secret.
	Clouds Clouds
	// Connections are those to all storages: a [wire.Pool].
	Connections Connections
	// Kept are the tokens and regions of earlier attempts, Records what earlier artifacts were made of.
	Kept    *bucket.Kept
	Records *bucket.Records
	// Limits bound a bucket.
	Limits bucket.Limits
}

// Setup registers the reconciler with a manager.
func (r *Reconciler) Setup(mgr ctrl.Manager, o controller.Options) error {
	return r.Runner.Setup(mgr, r, o, r, nil)
}

// Reconcile makes one attempt.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	return r.Run(ctx, req, r)
}

// New implements [attempt.Kind].
func (r *Reconciler) New() *sourcev1.Bucket { return &sourcev1.Bucket{} }

// Status implements [attempt.Kind].
func (r *Reconciler) Status(obj *sourcev1.Bucket) attempt.Status {
	s := &obj.Status
	return attempt.Status{
		Suspended: obj.Spec.Suspend, Conditions: &s.Conditions, Artifact: &s.Artifact,
		ObservedGeneration: &s.ObservedGeneration, Handled: &s.ReconcileRequestStatus, URL: &s.URL,
	}
}

// Timeout implements [attempt.Kind].
func (r *Reconciler) Timeout(obj *sourcev1.Bucket) time.Duration {
	if t := obj.Spec.Timeout; t != nil && t.Duration > 0 {
		return t.Duration
	}
	return defaultTimeout
}

// Attempt implements [attempt.Kind].
func (r *Reconciler) Attempt(ctx context.Context, obj *sourcev1.Bucket, o plan.Observed) attempt.Outcome[*sourcev1.Bucket] {
	seen := r.observe(ctx, obj, o)
	defer seen.close()
	out := r.act(ctx, obj, seen)
	out.Received = seen.received()
	return out
}

// Restore implements [attempt.Kind]: nothing but the bucket has what was in an artifact whose file is lost.
func (r *Reconciler) Restore(context.Context, *sourcev1.Bucket) bool { return false }

// Remove implements [attempt.Kind].
func (r *Reconciler) Remove(_ context.Context, obj *sourcev1.Bucket) error {
	r.Clouds.Forget(sourcev1.BucketKind, obj.Namespace, obj.Name)
	return r.Records.Remove(string(obj.UID))
}
