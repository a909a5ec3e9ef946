package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
)

// logs is everything that the controller logged.
var logs journal

type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) logger() logr.Logger {
	// As --log-level=trace does; what Kubernetes' client can show beyond that are whole requests.
	return funcr.New(func(prefix, args string) {
		j.mu.Lock()
		defer j.mu.Unlock()
		fmt.Fprintln(&j.text, prefix, args)
	}, funcr.Options{Verbosity: 2})
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// shown fails if anything that the tests of this package use as a secret, which all contain "canary", can be read after
// them in a log, a status, an event or a metric.
func shown() error {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	seen := map[string]string{"the log": logs.String()}
	var events corev1.EventList
	if err := shared.List(ctx, &events); err != nil {
		return err
	}
	for _, list := range []client.ObjectList{
		&sourcev1.GitRepositoryList{}, &sourcev1.OCIRepositoryList{}, &sourcev1.HelmRepositoryList{}, &sourcev1.HelmChartList{},
		&sourcev1.BucketList{},
	} {
		if err := shared.List(ctx, list); err != nil {
			return err
		}
		// Specs may hold what is refused for holding it.
		err := meta.EachListItem(list, func(item runtime.Object) error {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(item)
			seen[fmt.Sprintf("the status of a %T", item)] += fmt.Sprint(fields["status"])
			return err
		})
		if err != nil {
			return err
		}
	}
	for i := range events.Items {
		seen["an event in "+events.Items[i].Namespace] = fmt.Sprint(events.Items[i])
	}
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		seen["metric "+family.GetName()] = family.String()
	}
	for where, text := range seen {
		if i := strings.Index(text, "canary"); i >= 0 {
			return fmt.Errorf("%s shows a secret: …%s…", where, text[max(0, i-200):min(len(text), i+50)])
		}
	}
	return nil
}
