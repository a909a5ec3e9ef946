package controller

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// Conditions of a Sync record beside Ready.
const (
	syncedCondition  = "Synced"
	healthyCondition = "Healthy"
	appliedReason    = "Applied"
)

// syncInMemory is the subject's Sync record as the next write is to make it.
func (p *pass) syncInMemory() *v1alpha1.Sync {
	if p.mem.next == nil {
		p.mem.next = &v1alpha1.Sync{}
		if p.mem.sync != nil {
			p.mem.next = p.mem.sync.DeepCopy()
		}
	}
	return p.mem.next
}

// loadSync reads the record that an earlier process wrote.
func (p *pass) loadSync(ctx context.Context) error {
	found := &v1alpha1.Sync{}
	err := p.Client.Get(ctx, p.recordName(), found)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read Sync record: %w", err)
	}
	if err == nil && found.Subject.UID == p.subject.object().GetUID() {
		p.mem.sync = found
		if told, untold := found.LastChange, p.mem.record.Change; told != nil && untold != nil && !told.At.Before(&untold.At) {
			p.mem.record.Change = nil
		}
	}
	return nil
}

// restoreSync writes a record again that somebody deleted.
func (p *pass) restoreSync(ctx context.Context) error {
	if !p.mem.mailbox.lostRecord() || p.view().Deleting {
		return nil
	}
	p.syncInMemory()
	p.mem.sync = nil
	err := p.writeSync(ctx)
	if err != nil {
		p.mem.mailbox.loseRecord()
	}
	return err
}

func (p *pass) recordName() client.ObjectKey {
	return client.ObjectKey{Namespace: p.key.Namespace, Name: v1alpha1.RecordName(p.key.Kind, p.key.Name)}
}

// noteOutcome brings the record in memory to what an attempt ended with, or what it waits for. What only moved a revision
// leaves no trace.
func (p *pass) noteOutcome(state plan.State, v plan.Verdict, blockedBy []string, ended bool) {
	s := p.syncInMemory()
	p.noteSubject(s, state)
	s.Tag = p.mem.record.Held.Tag
	s.BlockedBy = blockedBy
	p.noteConditions(s, v)
	p.noteHealth(s, state.Subject.Checks)
	if ended {
		p.noteAttempt(s, v)
	}
}

// noteAttempt notes how an attempt ended, if it changed something or failed in another way than the one before. Doing it
// again, after a write that failed, changes nothing.
func (p *pass) noteAttempt(s *v1alpha1.Sync, v plan.Verdict) {
	goal, change := p.mem.record.Goal, p.mem.record.Change
	known := len(s.History) > 0 && s.History[0].Tag == goal.Tag && s.History[0].Outcome == v.Reason
	switch {
	case change != nil:
		known = known && !s.History[0].At.Before(&change.At)
		s.LastChange = change.DeepCopy()
	case v.Ready == metav1.ConditionTrue:
		return
	}
	if known {
		return
	}
	line := v1alpha1.Attempt{Revision: goal.Revision, Tag: goal.Tag, Outcome: v.Reason, At: metav1.NewTime(p.now).Rfc3339Copy()}
	s.History = append([]v1alpha1.Attempt{line}, s.History[:min(len(s.History), maxHistory-1)]...)
}

// noteChanges adds what was done to what is to be told. It is kept on disk with the attempt's progress, so that a restart
// before the outcome is known, or written, does not lose it.
func (p *pass) noteChanges(done apply.ChangeSet) {
	changed := done.Changed()
	if len(changed) == 0 {
		return
	}
	set := &v1alpha1.ChangeSet{}
	if p.mem.record.Change != nil {
		set = p.mem.record.Change.DeepCopy()
	}
	set.Revision, set.At = p.mem.record.Goal.Revision, metav1.NewTime(p.Now()).Rfc3339Copy()
	set.Created += done.Count(apply.Created)
	set.Configured += done.Count(apply.Configured)
	set.Deleted += done.Count(apply.Deleted)
	set.Entries = limit(append(set.Entries, changed.Lines(maxEntries)...), maxEntries)
	p.mem.record.Change = set
}

func (p *pass) noteSubject(s *v1alpha1.Sync, state plan.State) {
	s.Subject = v1alpha1.Subject{
		Kind: p.key.Kind, Name: p.key.Name, UID: state.Subject.UID,
		Generation: state.Subject.Generation, RequestedAt: state.Subject.Token,
	}
	if s.Health.State == "" {
		s.Health.State = v1alpha1.HealthUnknown
	}
}

// setCondition sets a condition of the record.
func (p *pass) setCondition(s *v1alpha1.Sync, kind string, status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(&s.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(p.now),
	})
}

// noteConditions repeats the verdict without the revision in it.
func (p *pass) noteConditions(s *v1alpha1.Sync, v plan.Verdict) {
	if v.Ready == metav1.ConditionTrue {
		p.setCondition(s, meta.ReadyCondition, v.Ready, v.Reason, "the cluster holds what the source asks for")
		p.setCondition(s, syncedCondition, metav1.ConditionTrue, appliedReason, "the latest content is applied")
		return
	}
	p.setCondition(s, meta.ReadyCondition, v.Ready, v.Reason, v.Message)
	r := p.mem.record
	status := metav1.ConditionFalse
	if p.render != nil && p.render.Rendering != nil && r.Held.Tag == p.render.Rendering.Tag && (r.Stage != plan.Ended || pruned(r)) {
		status = metav1.ConditionTrue
	}
	p.setCondition(s, syncedCondition, status, v.Reason, v.Message)
}

// noteHealth notes what is known of the objects' health: nothing when nobody asks for it. After a restart what was noted
// stands until it is looked at again.
func (p *pass) noteHealth(s *v1alpha1.Sync, checks bool) {
	switch {
	case !checks:
		s.Health = summary(health.Report{})
	case p.mem.refs != nil || s.Health.State == "":
		s.Health = summary(p.mem.report)
	}
	status := metav1.ConditionUnknown
	switch s.Health.State {
	case v1alpha1.HealthHealthy:
		status = metav1.ConditionTrue
	case v1alpha1.HealthFailed:
		status = metav1.ConditionFalse
	}
	p.setCondition(s, healthyCondition, status, s.Health.State, s.Health.Summary)
}

// writeSync writes the record whole, in one request, if it differs from what was written last.
func (p *pass) writeSync(ctx context.Context) error {
	next := p.syncInMemory()
	if p.mem.sync == nil && next.Subject.UID == "" {
		return nil
	}
	if p.mem.sync != nil && sameSync(p.mem.sync, next) {
		return nil
	}
	o, err := p.applyConfiguration(next)
	if err != nil {
		return fmt.Errorf("write Sync record: %w", err)
	}
	if err := p.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(Name), client.ForceOwnership); err != nil {
		return fmt.Errorf("write Sync record: %w", err)
	}
	p.mem.sync = next.DeepCopy()
	return nil
}

// sameSync leaves out what changes without news: a token that was answered is in the subject's own status.
func sameSync(a, b *v1alpha1.Sync) bool {
	x, y := a.DeepCopy(), b.DeepCopy()
	for _, s := range []*v1alpha1.Sync{x, y} {
		s.TypeMeta, s.ObjectMeta, s.Subject.RequestedAt = metav1.TypeMeta{}, metav1.ObjectMeta{}, ""
	}
	return equality.Semantic.DeepEqual(x, y)
}

// applyConfiguration is the record as it is applied: owned by its subject.
func (p *pass) applyConfiguration(s *v1alpha1.Sync) (*unstructured.Unstructured, error) {
	owner := p.subject.object()
	named := s.DeepCopy()
	named.ObjectMeta = metav1.ObjectMeta{}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(named)
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{Object: fields}
	key := p.recordName()
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.SyncKind))
	o.SetNamespace(key.Namespace)
	o.SetName(key.Name)
	unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
	o.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: p.Kind.group + "/" + p.Kind.version, Kind: p.Kind.name, Name: owner.GetName(), UID: owner.GetUID(),
	}})
	return o, nil
}
