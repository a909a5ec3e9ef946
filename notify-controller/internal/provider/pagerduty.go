package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"

	"github.com/sluice-gitops/sluice/api/event"
	"github.com/sluice-gitops/sluice/notify-controller/internal/plan"
)

const (
	pagerDutyAddress = "https://events.pagerduty.com"
	enqueuePath      = "/v2/enqueue"
	changePath       = "/v2/change/enqueue"
	// maxSummary is PagerDuty's limit for payload.summary.
	maxSummary = 1024
	// maxDetail is how long a metadata value may be, in bytes.
	maxDetail = 512
	// pagerDutyWait is PagerDuty's advice after a 429, which carries no Retry-After.
	pagerDutyWait = 30 * time.Second
)

// pagerDuty speaks the Events API v2: a failure triggers an incident, a recovery resolves it, and a new revision is a
// change event. An incident's dedup key is the object's UID, as with Flux, so that recovery resolves what failed, also
// what another instance or Flux has opened.
type pagerDuty struct {
	client     *client
	base       string
	routingKey string
}

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action,omitempty"`
	DedupKey   string            `json:"dedup_key,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
	Client     string            `json:"client,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity,omitempty"`
	Timestamp string            `json:"timestamp,omitempty"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

func newPagerDuty(client *client, s settings) (Provider, error) {
	if s.address == "" {
		s.address = pagerDutyAddress
	}
	address, err := endpoint(s.address)
	if err != nil {
		return nil, err
	}
	key := s.token
	if key == "" {
		key = s.channel
	}
	if key == "" {
		return nil, invalid("type pagerduty needs an integration key: spec.channel, or the key token in the Secret of spec.secretRef")
	}
	address.Path = strings.TrimSuffix(strings.TrimSuffix(address.Path, "/"), enqueuePath)
	return &pagerDuty{client: client, base: strings.TrimSuffix(address.String(), "/"), routingKey: key}, nil
}

// Effect implements [Stateful]. Not everything of severity info is a recovery: progress, a rollback after a failed upgrade,
// and drift that was found or corrected while the newest revision fails, leave the object as it was.
func (p *pagerDuty) Effect(notification event.Event) plan.Effect {
	noRecovery := []string{
		"Progressing", "ProgressingWithRetry", "DependencyNotReady", "RollbackSucceeded", "UninstallSucceeded",
		"DriftDetected", "DriftCorrected",
	}
	switch {
	case notification.Severity == eventv1.EventSeverityError:
		return plan.Opens
	case notification.Severity != eventv1.EventSeverityInfo || slices.Contains(noRecovery, notification.Reason):
		return ""
	case statusUpdate(notification):
		return plan.ClosesOpened
	}
	return plan.Closes
}

// Subject implements [Stateful].
func (p *pagerDuty) Subject(notification event.Event) string {
	object := notification.InvolvedObject
	if object.UID != "" {
		return string(object.UID)
	}
	sum := sha256.Sum256([]byte(object.Kind + "/" + object.Namespace + "/" + object.Name))
	return hex.EncodeToString(sum[:])
}

func (p *pagerDuty) Send(ctx context.Context, notification event.Event) error {
	switch p.Effect(notification) {
	case plan.Opens:
		return p.post(ctx, enqueuePath, p.trigger(notification))
	case plan.Closes:
		if err := p.post(ctx, enqueuePath, p.resolve(notification)); err != nil {
			return err
		}
	case plan.ClosesOpened:
		return p.post(ctx, enqueuePath, p.resolve(notification))
	}
	return p.change(ctx, notification)
}

func (p *pagerDuty) trigger(notification event.Event) pagerDutyEvent {
	out := p.resolve(notification)
	out.Action, out.Client = "trigger", "Sluice"
	out.Payload = payload(notification)
	out.Payload.Severity = "error"
	out.Payload.Component = notification.InvolvedObject.Name
	out.Payload.Group = notification.InvolvedObject.Namespace
	out.Payload.Class = notification.Reason
	return out
}

func (p *pagerDuty) resolve(notification event.Event) pagerDutyEvent {
	return pagerDutyEvent{RoutingKey: p.routingKey, Action: "resolve", DedupKey: event.Shorten(p.Subject(notification), 255)}
}

// change reports a new revision. A ruleset's key, which begins with R, takes no change events.
func (p *pagerDuty) change(ctx context.Context, notification event.Event) error {
	_, hasRevision := notification.GetRevision()
	if !hasRevision || statusUpdate(notification) || strings.HasPrefix(p.routingKey, "R") {
		return nil
	}
	return p.post(ctx, changePath, pagerDutyEvent{RoutingKey: p.routingKey, Payload: payload(notification)})
}

func (p *pagerDuty) post(ctx context.Context, path string, body pagerDutyEvent) error {
	answer, err := p.client.postJSON(ctx, p.base+path, body, nil)
	if err != nil {
		return err
	}
	err = answer.verdict("")
	var failure *Failure
	if errors.As(err, &failure) && answer.status == http.StatusTooManyRequests && failure.RetryAfter == 0 {
		failure.RetryAfter = pagerDutyWait
	}
	return err
}

func payload(notification event.Event) *pagerDutyPayload {
	object := notification.InvolvedObject
	title := object.Kind + "/" + object.Namespace + "/" + object.Name
	details := map[string]string{
		"reason":  notification.Reason,
		"message": event.Shorten(plainText(notification.Message), event.MaxMessage),
	}
	for key, value := range notification.Metadata {
		details[key] = event.Shorten(plainText(value), maxDetail)
	}
	out := &pagerDutyPayload{
		Summary: event.Shorten(title+": "+oneLine(plainText(notification.Message)), maxSummary),
		Source:  "Sluice " + title,
		Details: details,
	}
	if !notification.Timestamp.IsZero() {
		out.Timestamp = notification.Timestamp.UTC().Format(time.RFC3339)
	}
	return out
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func statusUpdate(notification event.Event) bool {
	return notification.HasMetadata(eventv1.MetaCommitStatusKey, eventv1.MetaCommitStatusUpdateValue)
}
