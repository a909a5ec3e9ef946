package sink

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits of the Events API v2.
const (
	maxEventBytes  = 512 << 10
	maxDedupKey    = 255
	maxSummary     = 1024
	routingKeySize = 32
)

// Status of an Incident.
const (
	Triggered    = "triggered"
	Acknowledged = "acknowledged"
	Resolved     = "resolved"
)

// Incident is what PagerDuty makes of events with one routing key and dedup key:
// a trigger opens it or adds to the open one, a resolve closes it, and a later
// trigger opens another.
type Incident struct {
	DedupKey string    `json:"dedup_key"`
	Status   string    `json:"status"`
	Summary  string    `json:"summary"` // of the first trigger
	Severity string    `json:"severity"`
	Triggers int       `json:"triggers"`
	Opened   time.Time `json:"opened"`

	routingKey string
}

// pagerDutyEvent is an event of either endpoint.
type pagerDutyEvent struct {
	RoutingKey  string `json:"routing_key"`
	EventAction string `json:"event_action"`
	DedupKey    string `json:"dedup_key"`
	Payload     *struct {
		Summary       string          `json:"summary"`
		Source        string          `json:"source"`
		Severity      string          `json:"severity"`
		Timestamp     string          `json:"timestamp"`
		CustomDetails json.RawMessage `json:"custom_details"`
	} `json:"payload"`
	Links []struct {
		Href string `json:"href"`
	} `json:"links"`
	Images []struct {
		Src string `json:"src"`
	} `json:"images"`
}

// Incidents returns all incidents, oldest first.
func (s *Server) Incidents() []Incident {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Incident, 0, len(s.incidents))
	for _, i := range s.incidents {
		out = append(out, *i)
	}
	return out
}

func (s *Server) showIncidents(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.Incidents())
}

func (s *Server) pagerDutyAlert(_ http.Header, body []byte) answer {
	event, problems := parseEvent(body)
	if problems == nil {
		problems = event.alertProblems()
	}
	if len(problems) > 0 {
		return invalidEvent(problems)
	}
	if event.DedupKey == "" {
		event.DedupKey = strings.ToLower(rand.Text())
	}
	s.handle(event)
	return answer{status: http.StatusAccepted, accepted: true, json: map[string]string{
		"status": "success", "message": "Event processed", "dedup_key": event.DedupKey,
	}}
}

func (s *Server) pagerDutyChange(_ http.Header, body []byte) answer {
	event, problems := parseEvent(body)
	if problems == nil {
		problems = event.changeProblems()
	}
	if len(problems) > 0 {
		return invalidEvent(problems)
	}
	return answer{status: http.StatusAccepted, accepted: true, json: map[string]string{
		"status": "success", "message": "Change event processed",
	}}
}

// handle updates the incidents. An acknowledge or resolve without an open
// incident is dropped, which the sender is not told.
func (s *Server) handle(event pagerDutyEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.incidents, func(i *Incident) bool {
		return i.routingKey == event.RoutingKey && i.DedupKey == event.DedupKey && i.Status != Resolved
	})
	switch {
	case event.EventAction != "trigger" && at < 0:
	case event.EventAction == "acknowledge":
		s.incidents[at].Status = Acknowledged
	case event.EventAction == "resolve":
		s.incidents[at].Status = Resolved
	case at >= 0:
		s.incidents[at].Triggers++
	default:
		s.incidents = append(s.incidents, &Incident{
			DedupKey: event.DedupKey, Status: Triggered, Summary: event.Payload.Summary,
			Severity: event.Payload.Severity, Triggers: 1, Opened: time.Now(), routingKey: event.RoutingKey,
		})
	}
}

func parseEvent(body []byte) (pagerDutyEvent, []string) {
	var event pagerDutyEvent
	if len(body) > maxEventBytes {
		return event, []string{fmt.Sprintf("event is larger than %d bytes", maxEventBytes)}
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return event, []string{"event is not valid JSON of the documented shape"}
	}
	return event, nil
}

func (e pagerDutyEvent) alertProblems() []string {
	problems := e.sharedProblems()
	switch e.EventAction {
	case "acknowledge", "resolve":
		if e.DedupKey == "" {
			problems = append(problems, "'dedup_key' is required for "+e.EventAction)
		}
		return problems
	case "trigger":
	default:
		problems = append(problems, "'event_action' must be one of trigger, acknowledge, resolve")
	}
	if e.Payload == nil {
		return append(problems, "'payload' is missing")
	}
	if e.Payload.Source == "" {
		problems = append(problems, "'payload.source' is missing or blank")
	}
	if !slices.Contains([]string{"critical", "error", "warning", "info"}, e.Payload.Severity) {
		problems = append(problems, "'payload.severity' must be one of critical, error, warning, info")
	}
	return append(problems, e.payloadProblems()...)
}

func (e pagerDutyEvent) changeProblems() []string {
	problems := e.sharedProblems()
	if strings.HasPrefix(e.RoutingKey, "R") {
		problems = append(problems, "'routing_key' of a ruleset does not take change events")
	}
	if e.Payload == nil {
		return append(problems, "'payload' is missing")
	}
	return append(problems, e.payloadProblems()...)
}

func (e pagerDutyEvent) sharedProblems() []string {
	var problems []string
	if len(e.RoutingKey) != routingKeySize {
		problems = append(problems, fmt.Sprintf("'routing_key' must have %d characters", routingKeySize))
	}
	if len(e.DedupKey) > maxDedupKey {
		problems = append(problems, fmt.Sprintf("'dedup_key' is longer than %d characters", maxDedupKey))
	}
	for _, link := range e.Links {
		if link.Href == "" {
			problems = append(problems, "'links.href' is missing")
		}
	}
	for _, image := range e.Images {
		if !strings.HasPrefix(image.Src, "https://") {
			problems = append(problems, "'images.src' must be an https URL")
		}
	}
	return problems
}

func (e pagerDutyEvent) payloadProblems() []string {
	var problems []string
	if e.Payload.Summary == "" || len([]rune(e.Payload.Summary)) > maxSummary {
		problems = append(problems, fmt.Sprintf("'payload.summary' must have 1 to %d characters", maxSummary))
	}
	if stamp := e.Payload.Timestamp; stamp != "" {
		if _, err := time.Parse(time.RFC3339, stamp); err != nil {
			problems = append(problems, "'payload.timestamp' is not in ISO 8601")
		}
	}
	if details := e.Payload.CustomDetails; len(details) > 0 && details[0] != '{' {
		problems = append(problems, "'payload.custom_details' is not an object")
	}
	return problems
}

func invalidEvent(problems []string) answer {
	return answer{status: http.StatusBadRequest, json: map[string]any{
		"status": "invalid event", "message": "Event object is invalid", "errors": problems,
	}}
}
