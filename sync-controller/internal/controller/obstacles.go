package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/events"
	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
	"github.com/sluice-gitops/sluice/sync-controller/internal/subject"
)

// deletion is what is remembered of the deletion of a subject.
type deletion struct {
	// requested says that everything was asked to go, awaited that it is waited for, over that nothing is left to do.
	requested, awaited, over bool
	// handedOver says that the other holders of its objects know that it lets them go.
	handedOver bool
	// since is when somebody was first needed to make possible what could not be done; zero while all goes, or goes by itself.
	since time.Time
	// told are the objects whose deletion was told.
	told map[inventory.ID]bool
}

// untold are the changes that were not told yet; they are from now on.
func (d *deletion) untold(changes apply.ChangeSet) apply.ChangeSet {
	if d.told == nil {
		d.told = make(map[inventory.ID]bool)
	}
	var fresh apply.ChangeSet
	for _, c := range changes {
		if !d.told[c.ID] {
			d.told[c.ID] = true
			fresh = append(fresh, c)
		}
	}
	return fresh
}

// lasts is for how long what could not be done has needed somebody. What goes by itself is not counted.
func (d *deletion) lasts(undone []*hindrance.Error, now time.Time) time.Duration {
	bounded := func(one *hindrance.Error) bool { return one.Cause != hindrance.Passing }
	switch {
	case !slices.ContainsFunc(undone, bounded):
		d.since = time.Time{}
		return 0
	case d.since.IsZero():
		d.since = now
	}
	return now.Sub(d.since)
}

// meet deals with what could not be done of a deletion: it says so in the subject's status, and whether that is left as it is.
// What goes by itself is an error, to be tried again.
func (r *reconciliation) meet(ctx context.Context, problem error) (over bool, err error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	d, own := &r.memory.deletion, r.obstacles()
	undone := hindrance.Each(problem)
	lasted := d.lasts(undone, r.now)
	var obstacles []plan.Obstacle
	for _, one := range undone {
		ending := one.Cause != hindrance.Passing && (own.ends(ctx, r.key.Namespace) || own.ends(ctx, one.Namespace))
		obstacles = append(obstacles, plan.Obstacle{Cause: one.Cause, Ending: ending})
	}
	over, left, again := plan.Relent(obstacles, lasted)
	if over {
		r.leave(ctx, "could not be deleted and stays: ", messages(undone))
		return true, nil
	}
	message := enumerate(messages(undone))
	if left > 0 {
		message = fmt.Sprintf("gives up at %s: %s", r.now.Add(left).UTC().Format(time.TimeOnly), message)
	}
	told := r.tellDeletion(ctx, plan.Verdict{Ready: metav1.ConditionFalse, Reason: r.subject.DeletionFailure(), Message: message})
	if passing(problem) {
		return false, errors.Join(problem, told)
	}
	r.again = again
	return false, told
}

// passing says that an error holds something that goes by itself.
func passing(err error) bool {
	return slices.ContainsFunc(hindrance.Each(err), func(one *hindrance.Error) bool { return one.Cause == hindrance.Passing })
}

// tellDeletion says in the subject's status what its deletion waits for, and in an event what went wrong, once.
func (r *reconciliation) tellDeletion(ctx context.Context, v plan.Verdict) error {
	before := subject.Ready(r.stored)
	v.Message, v.Checks = shorten("deleting: "+v.Message), true
	v.Conditions(r.subject.Conditions(), r.subject.Object().GetGeneration(), r.now)
	if v.Ready == metav1.ConditionFalse && (before == nil || before.Message != v.Message) {
		r.emitDeletion(ctx, events.Warning, v.Reason, v.Message)
	}
	return r.patchStatus(ctx)
}

// leaveAll tells that nothing of the subject is deleted, and why. What is in a namespace that is going goes with it.
func (r *reconciliation) leaveAll(ctx context.Context, why string) {
	own := r.obstacles()
	var stays []inventory.Entry
	for _, e := range subject.InventoryOf(r.subject).Entries() {
		if e.ID.Namespace != r.key.Namespace || !own.ends(ctx, r.key.Namespace) {
			stays = append(stays, e)
		}
	}
	inventory.SortForApply(stays)
	r.leave(ctx, why+"; what stays: ", names(stays))
}

// leave tells what stays in the cluster although it should have gone; nothing, when that is nothing.
func (r *reconciliation) leave(ctx context.Context, words string, stays []string) {
	if len(stays) == 0 {
		return
	}
	reason, message := r.subject.DeletionFailure(), words+enumerate(stays)
	ctrl.LoggerFrom(ctx).Info(fmt.Sprintf("%s is let go: %s", r.key, message), logkey.Reason, reason, logkey.Objects, len(stays))
	r.emitDeletion(ctx, events.Warning, reason, message)
}

// emitDeletion emits an event. Beside a subject whose namespace is going none can be made.
func (r *reconciliation) emitDeletion(ctx context.Context, eventType, reason string, lines ...string) {
	if r.obstacles().ends(ctx, r.key.Namespace) {
		r.Events.EmitAway(r.subject, r.now, eventType, reason, lines...)
		return
	}
	r.Events.Emit(r.subject, r.now, eventType, reason, lines...)
}

// obstacles tells what cannot be done from what is being done by somebody else: the deletion of a namespace. It asks for each
// namespace once.
type obstacles struct {
	namespaces client.Reader
	asked      map[string]bool
	// vanishing are the objects that could not be reached and go with their namespace.
	vanishing map[string]bool
}

// obstacles are those that this reconciliation meets.
func (r *reconciliation) obstacles() *obstacles {
	if r.met == nil {
		r.met = &obstacles{namespaces: r.Live, asked: make(map[string]bool), vanishing: make(map[string]bool)}
	}
	return r.met
}

// ends says whether a namespace is going or gone. One that may not be looked at counts as there.
func (o *obstacles) ends(ctx context.Context, namespace string) bool {
	if namespace == "" {
		return false
	}
	if ending, asked := o.asked[namespace]; asked {
		return ending
	}
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := o.namespaces.Get(ctx, client.ObjectKey{Name: namespace}, found)
	o.asked[namespace] = apierrors.IsNotFound(err) || err == nil && found.DeletionTimestamp != nil
	return o.asked[namespace]
}

// left is what remains of an error without the objects that the account may not touch and that go all the same, with the
// namespace that its rights went with.
func (o *obstacles) left(ctx context.Context, err error) error {
	var remaining []error
	for _, one := range hindrance.Each(err) {
		if one.Cause == hindrance.Forbidden && o.ends(ctx, one.Namespace) {
			o.vanishing[one.What] = true
			continue
		}
		remaining = append(remaining, one)
	}
	return errors.Join(remaining...)
}

// lasting are the entries without those that go with their namespace.
func (o *obstacles) lasting(entries []inventory.Entry) []inventory.Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e inventory.Entry) bool { return o.vanishing[inventory.Describe(e.ID)] })
}

// messages are the words of what is not done.
func messages(undone []*hindrance.Error) []string {
	var all []string
	for _, one := range undone {
		all = append(all, one.Message)
	}
	return all
}

// enumerate joins at most maxNamed items, and counts the rest.
func enumerate(items []string) string {
	text := strings.Join(items[:min(len(items), maxNamed)], "; ")
	if more := len(items) - maxNamed; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}
