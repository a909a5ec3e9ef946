package report

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

func logDecision(log logr.Logger, e Ending) {
	log.V(logkey.Debug).Info("decided", logkey.Step, e.Decision.Step, logkey.Rule, e.Decision.Rule)
}

// log says what came of an attempt, and nothing where nothing did.
func (r *Reporter) log(log logr.Logger, e Ending, again next) {
	if e.Collected > 0 {
		log.V(logkey.Debug).Info(fmt.Sprintf("garbage collected %d artifacts", e.Collected))
	}
	if e.Restored {
		log.Info("restored the lost file of "+e.After.GetArtifact().Revision, logkey.Revision, e.After.GetArtifact().Revision)
	}
	key := client.ObjectKeyFromObject(e.After)
	if e.Problem != nil {
		r.logProblem(log, key, e, again)
		return
	}
	if e.Made {
		logMade(log, e)
	}
	_, failed := r.failures.LoadAndDelete(key)
	if is := ready(e.After); is != nil && (failed || apimeta.IsStatusConditionFalse(e.Before.GetConditions(), meta.ReadyCondition)) {
		log.Info("recovered: "+is.Message, logkey.Revision, e.After.GetArtifact().Revision)
	}
}

// logProblem says what is wrong once, until it is something else or over.
func (r *Reporter) logProblem(log logr.Logger, key client.ObjectKey, e Ending, again next) {
	p := e.Problem
	if p.Transient {
		log.V(logkey.Debug).Info("postponed: "+p.Message, logkey.Reason, p.Reason, logkey.After, again.after.String())
		return
	}
	values := []any{logkey.Reason, p.Reason, logkey.Problem, plan.Bounded(p.Message)}
	if e.Revision != "" {
		values = append(values, logkey.Revision, e.Revision)
	}
	if again.failures > 0 {
		values = append(values, logkey.Attempt, again.failures)
	}
	if again.after > 0 {
		values = append(values, logkey.After, again.after.String())
	}
	state := p.Reason + " " + p.Message + " " + e.Revision
	if before, known := r.failures.Swap(key, state); known && before == state {
		log = log.V(logkey.Debug)
	} else if p.Volume {
		log.Error(errors.New(plan.Bounded(p.Message)), failed(p), values...)
		return
	}
	log.Info(failed(p)+": "+plan.Bounded(p.Message), values...)
}

func failed(p *plan.Problem) string {
	switch p.Condition {
	case sourcev1.BuildFailedCondition:
		return "failed to package the chart"
	case sourcev1.StorageOperationFailedCondition:
		return "failed to store the artifact"
	case sourcev1.SourceVerifiedCondition:
		return "failed to verify"
	case sourcev1.IncludeUnavailableCondition:
		return "failed to include"
	}
	return "failed to fetch"
}

// logMade says what was stored. Again it is when nothing about it is new but the file, as after the loss of the volume.
func logMade(log logr.Logger, e Ending) {
	is, was := e.After.GetArtifact(), e.Before.GetArtifact()
	took := e.Took.Round(time.Millisecond).String()
	values := []any{logkey.Revision, is.Revision, logkey.Digest, is.Digest, logkey.Duration, took}
	if is.Size != nil {
		values = append(values, logkey.Bytes, *is.Size)
	}
	what := cmp.Or(e.Done, "fetched "+is.Revision)
	if e.Source != "" {
		values = append(values, logkey.Source, e.Source)
	}
	if was != nil && was.Revision == is.Revision && was.Digest == is.Digest {
		what += " again"
	}
	log.Info(what+" in "+took, values...)
}
