package deliver

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-gitops/sluice/api/logkey"
	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/notify-controller/internal/delivery"
	"github.com/sluice-gitops/sluice/notify-controller/internal/ledger"
	"github.com/sluice-gitops/sluice/notify-controller/internal/measure"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

// What the sender says of each delivery, to the log and to the metrics. What is given up is said by the room that keeps it.

func (s *Sender) logDecision(record delivery.Record, action plan.Action) {
	record.Log(s.log).V(logkey.Debug).Info("decided", logkey.Step, action.Kind, logkey.Rule, action.Rule)
}

func (s *Sender) delivered(record delivery.Record, tries int, took time.Duration) {
	s.letters.Metrics.Delivery(record.Type, measure.Delivered)
	text := "delivered to " + record.Target()
	if tries > 1 {
		text += fmt.Sprintf(" at attempt %d", tries)
	}
	record.Log(s.log).Info(text+": "+delivery.Headline(record.Event),
		logkey.Attempt, tries, logkey.Duration, took.Round(time.Millisecond).String())
}

// failed tells of a failure that another attempt follows; at debug if the last attempt failed for the same reason.
func (s *Sender) failed(record delivery.Record, known ledger.Entry, same bool, after time.Duration) {
	s.letters.Metrics.Delivery(record.Type, measure.Retried)
	log := record.Log(s.log)
	if same {
		log = log.V(logkey.Debug)
	}
	wait := after.Round(time.Millisecond).String()
	log.Info(fmt.Sprintf("delivery to %s failed, tried again in %s: %s: %s", record.Target(), wait, known.Failure, delivery.Headline(record.Event)),
		logkey.Attempt, known.Tries, logkey.After, wait, logkey.Problem, known.Failure)
}

func (s *Sender) dropped(record delivery.Record, why string) {
	s.letters.Metrics.Delivery(record.Type, measure.Dropped)
	record.Log(s.log).Info(fmt.Sprintf("dropped delivery to %s: %s: %s", record.Target(), why, delivery.Headline(record.Event)), logkey.Problem, why)
}

// blocked says why nothing can be tried for a Provider, once: neither it nor the target is to blame. What this controller may
// not read is for whoever operates it to grant.
func (s *Sender) blocked(record delivery.Record, err error) {
	problem := redact.Error(err)
	s.mu.Lock()
	known := s.blocks[record.Provider] == problem
	s.blocks[record.Provider] = problem
	s.mu.Unlock()
	log := record.Log(s.log).WithValues(logkey.After, brokerWait.String())
	text := "failed to begin deliveries to " + record.Target()
	switch {
	case known:
		log.V(logkey.Debug).Info(text+": "+problem, logkey.Problem, problem)
	case apierrors.IsForbidden(err):
		log.Error(errors.New(problem), text)
	default:
		log.Info(text+": "+problem, logkey.Problem, problem)
	}
}

// unblocked is called when something is tried.
func (s *Sender) unblocked(record delivery.Record) {
	s.mu.Lock()
	_, was := s.blocks[record.Provider]
	delete(s.blocks, record.Provider)
	s.mu.Unlock()
	if was {
		record.Log(s.log).Info("recovered: deliveries to " + record.Target() + " go on")
	}
}

// logUnnoted: the ledger lags behind. A claim's lease runs out, and a dead letter that comes up again is the same one.
func (s *Sender) logUnnoted(record delivery.Record, err error) {
	record.Log(s.log).V(logkey.Debug).Info("failed to note what became of a delivery: "+redact.Error(err), logkey.Problem, redact.Error(err))
}
