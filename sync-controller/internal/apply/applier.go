package apply

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Defaults of an [Applier] and its [Options].
const (
	DefaultConcurrency  = 8
	DefaultStageTimeout = time.Minute
)

// Applier applies the objects of one subject. Fill in the fields; it keeps no state and is safe for concurrent use.
type Applier struct {
	// Client talks to the API server without a cache, as the identity that the subject is applied with. Its RESTMapper
	// must find kinds that appear while it lives.
	Client client.Client
	// FieldManager owns the applied fields: kustomize-controller or helm-controller, as Flux's.
	FieldManager string
	// Owner is whose labels every object gets.
	Owner inventory.Owner
	// Concurrency is how many requests are made at once; DefaultConcurrency when zero.
	Concurrency int
}

// Options steer one [Applier.Apply]. The zero value is an ordinary apply.
type Options struct {
	// Force recreates objects whose change the API server refuses because a field is immutable. Definitions of kinds,
	// namespaces and volumes are only recreated when they ask for it themselves: everything inside them would be lost.
	Force bool
	// Separately applies every object that is accepted, whatever becomes of the others. Without it nothing of a stage is
	// written unless all of it is accepted.
	Separately bool
	// Correcting says that nothing but what others have changed is put right. A release's objects may ask not to have that
	// done to them.
	Correcting bool
	// Unchanged tells which objects are known to be unchanged, on both sides; no request is made for them. Nil: none is.
	Unchanged func(inventory.ID) bool
	// Done tells which objects have been applied and come to their end: one that does not exist is not made again. Nil: none
	// has.
	Done func(inventory.ID) bool
	// StageTimeout is how long one stage waits for definitions to be usable: those that it has written, or those before it of
	// the kinds of its objects; and how long for an object that is recreated to be gone. DefaultStageTimeout when zero.
	StageTimeout time.Duration
	// Progress is told what the apply does and waits for; nil: nobody is.
	Progress *Progress
}

func (o Options) stageTimeout() time.Duration {
	if o.StageTimeout <= 0 {
		return DefaultStageTimeout
	}
	return o.StageTimeout
}
