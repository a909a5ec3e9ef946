package controller

import (
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/api/v1alpha1"
)

// logOutcome logs what a Render that was just written tells anew: what was rendered, what failed, and that it fails no more. What was
// kept, or waits for its source, is for debugging: sync-controller logs what comes of it.
func logOutcome(log logr.Logger, before, after *v1alpha1.Render, done *outcome) {
	log = log.WithValues(logkey.Revision, after.Source.Revision,
		logkey.Source, key(after.Source.Kind, after.Source.Namespace, after.Source.Name))
	if done.problem == nil {
		logSuccess(log, before, after, done)
		return
	}
	now := readyOf(after)
	log = log.WithValues(logkey.Reason, now.Reason)
	if done.problem.Attempt > 0 {
		log = log.WithValues(logkey.Attempt, done.problem.Attempt)
	}
	if done.problem.Retry > 0 {
		log = log.WithValues(logkey.After, done.problem.Retry.String())
	}
	switch {
	case done.problem.Waiting:
		log.V(logkey.Debug).Info("waiting: " + now.Message)
	case sameFailure(before, after, done.problem.Attempt):
		log.V(logkey.Debug).Info("failed to render again: " + now.Message)
	case done.problem.Operator:
		log.Error(nil, "failed to render: "+now.Message)
	default:
		log.Info("failed to render: " + now.Message)
	}
}

func logSuccess(log logr.Logger, before, after *v1alpha1.Render, done *outcome) {
	message := fmt.Sprintf("kept what was rendered, %s, for %s", count(done.rendering.Objects), after.Source.Revision)
	level := logkey.Debug
	if done.built {
		took := done.took.Round(time.Millisecond).String()
		message = fmt.Sprintf("rendered %s of %s in %s", count(done.rendering.Objects), after.Source.Revision, took)
		log, level = log.WithValues(logkey.Duration, took), 0
	}
	if was := readyOf(before); was != nil && was.Status == metav1.ConditionFalse {
		message, level = "recovered: "+message, 0
	}
	if len(done.warnings) > 0 {
		message += "; warning: " + strings.Join(done.warnings, "; ")
	}
	log.V(level).Info(message, logkey.Objects, done.rendering.Objects)
}

// sameFailure says whether a failure was logged before: the same in words and for the same revision, or the same in a row.
func sameFailure(before, after *v1alpha1.Render, attempt int) bool {
	was, now := readyOf(before), readyOf(after)
	return was != nil && was.Status == now.Status && was.Reason == now.Reason && before.Source.Revision == after.Source.Revision &&
		(was.Message == now.Message || attempt > 1)
}

func readyOf(record *v1alpha1.Render) *metav1.Condition {
	if record == nil {
		return nil
	}
	return apimeta.FindStatusCondition(record.Status.Conditions, meta.ReadyCondition)
}
