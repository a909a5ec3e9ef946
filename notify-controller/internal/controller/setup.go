package controller

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-gitops/sluice/api/access"
	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deadletter"
	"github.com/sluice-gitops/sluice/notify-controller/internal/deliver"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ledger"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
	"github.com/sluice-gitops/sluice/notify-controller/internal/router"
)

// Name of the controller, as it appears in Events.
const Name = "notify-controller"

// Options of [Setup].
type Options struct {
	Bus bus.Bus
	// Refs decides on references across namespaces.
	Refs access.Checker
	// Namespace this controller runs in, for the Event that NATS is away; empty for none.
	Namespace string
	// Parallel is how many notifications are sent to one Provider at a time.
	Parallel int
	// Metrics are what is counted, new ones if nil. They are registered here.
	Metrics *measure.Metrics
	Clock   clock.WithTicker
}

// Setup adds everything between the bus and the providers to the manager. Routing and sending start once the caches are
// filled, on the leader only.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Metrics == nil {
		o.Metrics = measure.New()
	}
	log := mgr.GetLogger().WithName("deliver")
	reports := Reports{Recorder: mgr.GetEventRecorderFor(Name)} //nolint:staticcheck // core/v1 Events are what flux events and kubectl describe show
	directory := &Directory{Cache: mgr.GetCache(), Live: mgr.GetAPIReader(), Refs: o.Refs}
	backlog := &measure.Backlog{
		Bus: o.Bus, Deliveries: delivery.Stream(), DeadLetters: deadletter.Stream(), Types: directory.Types,
	}
	if err := process.Register(append(o.Metrics.Collectors(), backlog)...); err != nil {
		return err
	}
	letters := &deadletter.Letters{Bus: o.Bus, Reports: reports, Metrics: o.Metrics, Log: log}
	list := ledger.NewQueues(o.Bus)
	sender := deliver.NewSender(o.Bus, directory.Open, letters, o.Clock, log)
	queues := deliver.NewQueues(o.Bus, directory.Providers, list, sender, o.Parallel, o.Clock, log)
	if err := watch(mgr, "alert", alertKind(), &alerts{directory, reports}); err != nil {
		return err
	}
	if err := watch(mgr, "provider", providerKind(), &providers{directory, reports, queues.Wake}); err != nil {
		return err
	}
	if err := mgr.Add(queues); err != nil {
		return fmt.Errorf("add queues: %w", err)
	}
	if err := mgr.Add(router.New(o.Bus, directory, letters, list, o.Clock, log)); err != nil {
		return fmt.Errorf("add router: %w", err)
	}
	if o.Namespace == "" {
		return nil
	}
	if err := mgr.Add(&outage{connected: o.Bus.Connected, namespace: o.Namespace, reports: reports, clock: o.Clock, log: mgr.GetLogger().WithName("bus")}); err != nil {
		return fmt.Errorf("add watch on NATS: %w", err)
	}
	return nil
}

// watch reconciles a kind as it is stored, without decoding (see [Directory]).
func watch(mgr ctrl.Manager, name string, kind schema.GroupVersionKind, r reconcile.Reconciler) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	err := builder.ControllerManagedBy(mgr).
		Named(name).
		For(object, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("watch %ss: %w", kind.Kind, err)
	}
	return nil
}
