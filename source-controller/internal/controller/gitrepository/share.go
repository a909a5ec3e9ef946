package gitrepository

import (
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
)

// fresh is how old an answer may be that a poll makes do with which nobody asked for.
const fresh = time.Second

// upstream is what objects have in common that share what a repository answers, and its clone.
func upstream(obj *sourcev1.GitRepository) git.Upstream {
	u := git.Upstream{Namespace: obj.Namespace, URL: obj.Spec.URL, ServiceAccount: obj.Spec.ServiceAccountName}
	if obj.Spec.Provider != sourcev1.GitProviderGeneric {
		u.Provider = obj.Spec.Provider
	}
	if ref := obj.Spec.SecretRef; ref != nil {
		u.Secret = ref.Name
	}
	if ref := obj.Spec.ProxySecretRef; ref != nil {
		u.Proxy = ref.Name
	}
	return u
}

// CloneOf is the key of the clone that an object uses.
func CloneOf(obj *sourcev1.GitRepository) string { return upstream(obj).Key() }

// since is how old an answer may be that an object makes do with: of now if its spec is new, or if it failed; of when a request
// to reconcile was seen, which is after it was made; and a little older for a poll at its interval.
func (r *Reconciler) since(obj *sourcev1.GitRepository) time.Time {
	now := r.Clock()
	if token, ok := meta.ReconcileAnnotationValue(obj.Annotations); ok && token != obj.Status.LastHandledReconcileAt {
		if at, ok := r.requests.take(client.ObjectKeyFromObject(obj), token); ok {
			return at
		}
		return now
	}
	if obj.Generation != obj.Status.ObservedGeneration || !apimeta.IsStatusConditionTrue(obj.Status.Conditions, meta.ReadyCondition) {
		return now
	}
	return now.Add(-min(fresh, obj.GetRequeueAfter()/4))
}

// requests are requests to reconcile, and when they were seen. The zero value is ready for use.
type requests struct {
	mu  sync.Mutex
	all map[client.ObjectKey]request
}

type request struct {
	token string
	at    time.Time
}

// note notes a request of an object, if it is one that was not noted yet.
func (r *requests) note(key client.ObjectKey, token string, at time.Time) (isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[client.ObjectKey]request{}
	}
	if isNew = r.all[key].token != token; isNew {
		r.all[key] = request{token, at}
	}
	return isNew
}

// take is when a request was seen; ok is false if it was not seen, or another one was since.
func (r *requests) take(key client.ObjectKey, token string) (at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, ok := r.all[key]
	return found.at, ok && found.token == token
}

func (r *requests) forget(key client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, key)
}
