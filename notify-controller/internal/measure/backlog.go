package measure

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/bus"
)

// scrapeTimeout bounds what a scrape asks the broker; without an answer there is no series, rather than a wrong one.
const scrapeTimeout = 3 * time.Second

// Backlog measures, when it is scraped, what waits to be delivered and what never was. It is safe for concurrent use.
type Backlog struct {
	// Bus has both streams. The last token of a delivery's subject is the UID of its Provider.
	Bus                     bus.Bus
	Deliveries, DeadLetters bus.Stream
	// Types are the types of the Providers that exist; those of others are unknown.
	Types func(ctx context.Context) (map[types.UID]string, error)
}

func pendingDesc() *prometheus.Desc {
	return prometheus.NewDesc("sluice_deliveries_pending",
		"Notifications that wait to be delivered, or for another attempt, by type of Provider.", []string{"type"}, nil)
}

func deadDesc() *prometheus.Desc {
	return prometheus.NewDesc("sluice_dead_letters", "Dead letters that are kept.", nil, nil)
}

// Describe implements [prometheus.Collector].
func (b *Backlog) Describe(out chan<- *prometheus.Desc) {
	out <- pendingDesc()
	out <- deadDesc()
}

// Collect implements [prometheus.Collector].
func (b *Backlog) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	if pending, err := b.pending(ctx); err == nil {
		for kind, n := range pending {
			out <- prometheus.MustNewConstMetric(pendingDesc(), prometheus.GaugeValue, float64(n), kind)
		}
	}
	if letters, err := b.Bus.Held(ctx, b.DeadLetters); err == nil {
		var sum uint64
		for _, n := range letters {
			sum += n
		}
		out <- prometheus.MustNewConstMetric(deadDesc(), prometheus.GaugeValue, float64(sum))
	}
}

// pending has every type that there is a Provider of, so that a queue which is empty says 0.
func (b *Backlog) pending(ctx context.Context) (map[string]uint64, error) {
	kinds, err := b.Types(ctx)
	if err != nil {
		return nil, err
	}
	held, err := b.Bus.Held(ctx, b.Deliveries)
	if err != nil {
		return nil, err
	}
	pending := map[string]uint64{}
	for _, kind := range kinds {
		pending[typeLabel(kind)] = 0
	}
	for subject, n := range held {
		uid := subject[strings.LastIndexByte(subject, '.')+1:]
		pending[typeLabel(kinds[types.UID(uid)])] += n
	}
	return pending, nil
}
