// Package record keeps a subject's Sync record: what Flux's status has no room for. Setters change it in memory; Write
// writes it whole, in one request, and only when it differs from what was written last.
package record

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/config"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// Record is a subject's Sync record. The zero value is that of a subject without one.
type Record struct {
	// written is the record as it was written last, next as it is to be.
	written, next *v1alpha1.Sync
}

// Written is the record as an earlier process wrote it.
func Written(sync *v1alpha1.Sync) Record { return Record{written: sync} }

// Load reads the record that an earlier process wrote about the subject of that UID.
func Load(ctx context.Context, reader client.Reader, key subject.Key, uid types.UID) (Record, error) {
	found := &v1alpha1.Sync{}
	switch err := reader.Get(ctx, key.Record(), found); {
	case client.IgnoreNotFound(err) != nil:
		return Record{}, fmt.Errorf("read Sync record: %w", err)
	case err != nil || found.Subject.UID != uid:
		return Record{}, nil
	}
	return Written(found), nil
}

// LastChange is the last change set that was written; nil when none was.
func (r *Record) LastChange() *v1alpha1.ChangeSet {
	if r.written == nil {
		return nil
	}
	return r.written.LastChange
}

// Deleted notes that somebody deleted the record: what it said is written again.
func (r *Record) Deleted() {
	r.pending()
	r.written = nil
}

// pending is the record as the next write is to make it.
func (r *Record) pending() *v1alpha1.Sync {
	if r.next == nil {
		r.next = &v1alpha1.Sync{}
		if r.written != nil {
			r.next = r.written.DeepCopy()
		}
	}
	return r.next
}

// Write writes the record of a subject, if it differs from what was written last.
func (r *Record) Write(ctx context.Context, c client.Client, kind subject.Kind, owner subject.Object) error {
	next := r.pending()
	if r.written == nil && next.Subject.UID == "" {
		return nil
	}
	if r.written != nil && Same(r.written, next) {
		return nil
	}
	o, err := applyConfiguration(next, kind, owner)
	if err != nil {
		return fmt.Errorf("write Sync record: %w", err)
	}
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(config.Name), client.ForceOwnership); err != nil {
		return fmt.Errorf("write Sync record: %w", err)
	}
	r.written = next.DeepCopy()
	return nil
}

// Same says whether two records say the same. It leaves out what changes without news: a token that was answered is in the subject's own status.
func Same(a, b *v1alpha1.Sync) bool {
	x, y := a.DeepCopy(), b.DeepCopy()
	for _, s := range []*v1alpha1.Sync{x, y} {
		s.TypeMeta, s.ObjectMeta, s.Subject.RequestedAt = metav1.TypeMeta{}, metav1.ObjectMeta{}, ""
	}
	return equality.Semantic.DeepEqual(x, y)
}

// applyConfiguration is the record as it is applied: owned by its subject.
func applyConfiguration(s *v1alpha1.Sync, kind subject.Kind, owner subject.Object) (*unstructured.Unstructured, error) {
	named := s.DeepCopy()
	named.ObjectMeta = metav1.ObjectMeta{}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(named)
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{Object: fields}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.SyncKind))
	o.SetNamespace(owner.GetNamespace())
	o.SetName(v1alpha1.RecordName(kind.Name, owner.GetName()))
	unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
	o.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: kind.Group + "/" + kind.Version, Kind: kind.Name, Name: owner.GetName(), UID: owner.GetUID(),
	}})
	return o, nil
}
