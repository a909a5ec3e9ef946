package controller

import (
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// kind is what the two kinds of subjects have of their own.
type kind struct {
	// name of the kind, its API group and version, and the field manager that applies for it.
	name, group, version, manager string
	newObject                     func() client.Object
	newList                       func() client.ObjectList
	// wrap makes a subject of an object of newObject's type.
	wrap func(client.Object) subject
	// items returns a list's objects.
	items func(client.ObjectList) []client.Object
	// healthy says that the kind has a Healthy condition.
	healthy bool
	// listsChanges says what Flux's controller of the kind tells about an attempt that changed something: the objects, and
	// its verdict only for the commit's status; otherwise the verdict alone.
	listsChanges bool
}

// subject is a Kustomization or a HelmRelease in memory. Setters change the object only; report.go writes it.
type subject interface {
	// object is the API object behind it.
	object() client.Object
	// copied is an independent copy.
	copied() subject
	// view is the spec as decisions see it, status likewise.
	view() plan.Subject
	status() plan.Status
	// invalid says which expression of the spec cannot be compiled; empty when all can.
	invalid() string
	serviceAccount() string
	force() bool
	dependsOn() []meta.DependencyReference
	// source is the key of the source object in spec, as kind/namespace/name.
	source() string
	healthChecks() healthChecks

	conditions() *[]metav1.Condition
	inventory() []kustomizev1.ResourceRef
	setInventory(refs []kustomizev1.ResourceRef)
	setToken(token string)
	setObserved(generation int64)
	// attempted notes the revision that was tried; applied the one that is in the cluster.
	attempted(goal plan.Goal)
	applied(goal plan.Goal)
	// success is the reason and the message of a Ready condition that is True; failure is the reason of one that is False,
	// given the outcome of an attempt.
	success(goal plan.Goal) (reason, message string)
	failure(outcome string) (reason string)
	// refused is the reason of a Ready condition for what render-controller could not render.
	refused(reason string) string
	// exhausted says why a failed attempt is not retried; empty when it is.
	exhausted(outcome string) string
	// settled sets further conditions that follow from a verdict.
	settled(v plan.Verdict, now time.Time)
	// record adds a line to the history.
	record(e entry)
	// revisions are the keys of an event's metadata without their group; version is what makes the same state news.
	revisions() map[string]string
	version() string
}

// healthChecks is what a subject asks to be checked.
type healthChecks struct {
	// all objects, or the named ones.
	all   bool
	named []meta.NamespacedObjectKindReference
	exprs []kustomize.CustomHealthCheck
}

// entry is a line of a history.
type entry struct {
	goal    plan.Goal
	outcome string
	at      time.Time
	took    time.Duration
}
