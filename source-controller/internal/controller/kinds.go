package controller

import (
	"context"
	"errors"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/bus/outbox"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/helmchart"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// kind is a kind of source that is served.
type kind struct {
	name string
	new  func() client.Object
	list func() client.ObjectList
	// change is what is told of its artifacts.
	change report.Change
}

// kinds are all that are served. What every kind has to have beside its reconciler follows from this table.
func kinds() []kind {
	return []kind{
		{
			name: sourcev1.GitRepositoryKind,
			new:  func() client.Object { return &sourcev1.GitRepository{} },
			list: func() client.ObjectList { return &sourcev1.GitRepositoryList{} },
		},
		{
			name: sourcev1.OCIRepositoryKind,
			new:  func() client.Object { return &sourcev1.OCIRepository{} },
			list: func() client.ObjectList { return &sourcev1.OCIRepositoryList{} },
		},
		{
			name: sourcev1.HelmRepositoryKind,
			new:  func() client.Object { return &sourcev1.HelmRepository{} },
			list: func() client.ObjectList { return &sourcev1.HelmRepositoryList{} },
		},
		{
			name:   sourcev1.HelmChartKind,
			new:    func() client.Object { return &sourcev1.HelmChart{} },
			list:   func() client.ObjectList { return &sourcev1.HelmChartList{} },
			change: helmchart.Change(),
		},
		{
			name: sourcev1.BucketKind,
			new:  func() client.Object { return &sourcev1.Bucket{} },
			list: func() client.ObjectList { return &sourcev1.BucketList{} },
		},
	}
}

// each calls visit with every object of a kind.
func (k kind) each(ctx context.Context, reader client.Reader, visit func(client.Object)) error {
	list := k.list()
	if err := reader.List(ctx, list); err != nil {
		return err
	}
	return meta.EachListItem(list, func(item runtime.Object) error {
		if obj, ok := item.(client.Object); ok {
			visit(obj)
		}
		return nil
	})
}

// listTimeout bounds reading all objects from the cache.
const listTimeout = time.Minute

// announcer is the outbox, and knows how to say again where every object stands.
type announcer struct {
	*outbox.Outbox
	reader    client.Reader
	reporters map[string]*report.Reporter
}

// reannounce announces the state of every object. The outbox asks for it at start, after a reconnect, and after it had
// to give up events. It fails only while the process starts or ends: the next start or reconnect asks again.
func (a *announcer) reannounce() {
	ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
	defer cancel()
	var all []func()
	var failed error
	for _, k := range kinds() {
		failed = errors.Join(failed, k.each(ctx, a.reader, func(obj client.Object) {
			if source, ok := obj.(report.Object); ok {
				all = append(all, func() { a.reporters[k.name].Reannounce(source, k.change) })
			}
		}))
	}
	if failed != nil {
		return
	}
	for _, announce := range all {
		announce()
	}
}
