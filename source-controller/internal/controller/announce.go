package controller

import (
	"context"
	"errors"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/bus/outbox"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/gitrepository"
	"github.com/sluice-gitops/sluice/source-controller/internal/controller/helmchart"
)

// listTimeout bounds reading all objects from the cache.
const listTimeout = time.Minute

// announcer is the outbox, and knows how to say again where every object stands.
type announcer struct {
	*outbox.Outbox
	reader       client.Reader
	repositories *gitrepository.Reconciler
	charts       *helmchart.Reconciler
}

// reannounce announces the state of every object. The outbox asks for it at start, after a reconnect, and after it had
// to give up events.
func (a *announcer) reannounce() {
	ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
	defer cancel()
	var repositories sourcev1.GitRepositoryList
	var charts sourcev1.HelmChartList
	if err := errors.Join(a.reader.List(ctx, &repositories), a.reader.List(ctx, &charts)); err != nil {
		return // only while the process starts or ends; the next start or reconnect asks again
	}
	for i := range repositories.Items {
		a.repositories.Reannounce(&repositories.Items[i])
	}
	for i := range charts.Items {
		a.charts.Reannounce(&charts.Items[i])
	}
}
