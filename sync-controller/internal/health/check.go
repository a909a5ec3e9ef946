package health

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Limits of one [Check].
const (
	concurrency  = 8
	maxExplained = 5   // workloads whose pods are asked for a reason
	maxReason    = 300 // bytes of a finding's reason
)

// Check reads every object once and computes its health. It does not wait. It costs one request per object, and for at
// most five workloads that are not healthy a list of some of their pods, to say why. Give it what was applied, without the
// skipped objects and the subject itself.
//
// That an object cannot be read is a finding; an error is returned only when the context ends.
func Check(ctx context.Context, reader client.Reader, refs []Ref, exprs *Expressions) (Report, error) {
	results := make([]result, len(refs))
	each(len(refs), func(i int) {
		results[i] = look(ctx, reader, refs[i], exprs)
	})
	explain(ctx, reader, refs, results)
	if err := context.Cause(ctx); err != nil {
		return Report{}, fmt.Errorf("check health: %w", err)
	}
	report := Report{Total: int64(len(refs))}
	for i, r := range results {
		switch finding := (Finding{ID: refs[i].ID, Reason: shorten(r.reason)}); r.state {
		case healthy:
			report.Ready++
		case failed:
			report.Failed = append(report.Failed, finding)
		default:
			report.InProgress = append(report.InProgress, finding)
		}
	}
	return report, nil
}

// state is the health of one object.
type state int

const (
	progressing state = iota
	healthy
	failed
)

// result is the health of one object, and why.
type result struct {
	state  state
	reason string
	live   *unstructured.Unstructured // nil when it is healthy or could not be read
}

// explain lets the pods of some unhealthy workloads say why.
func explain(ctx context.Context, reader client.Reader, refs []Ref, results []result) {
	var unhealthy []int
	for i, r := range results {
		if r.live != nil && runsPods(refs[i].Kind()) && len(unhealthy) < maxExplained {
			unhealthy = append(unhealthy, i)
		}
	}
	each(len(unhealthy), func(n int) {
		i := unhealthy[n]
		if reason := podReason(ctx, reader, results[i].live, refs[i].Tainted); reason != "" {
			results[i].reason = reason
		}
	})
}

// each calls do for 0 to n-1, some of them at once.
func each(n int, do func(i int)) {
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i := range n {
		group.Go(func() error {
			do(i)
			return nil
		})
	}
	_ = group.Wait()
}
