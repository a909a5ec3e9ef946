package provider

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"

	"github.com/sluice-gitops/sluice/api/event"
)

// apiPath is chat.postMessage's; every other address is taken for an incoming webhook.
const apiPath = "/api/chat.postMessage"

const (
	slackGood   = "good"
	slackDanger = "danger"
	// slackFields is how many metadata entries a message shows; slackShort, how long the value of one beside another is.
	slackFields = 20
	slackShort  = 40
)

// slack posts to an incoming webhook, whose URL is the credential, or to chat.postMessage with a bot token.
type slack struct {
	client            *client
	address           string
	token             string
	channel, username string
	webAPI            bool
}

type slackMessage struct {
	Channel     string            `json:"channel,omitempty"`
	Username    string            `json:"username,omitempty"`
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color  string       `json:"color"`
	Text   string       `json:"text"`
	Fields []slackField `json:"fields,omitempty"`
	Footer string       `json:"footer,omitempty"`
	Time   int64        `json:"ts,omitempty"`
}

type slackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

func newSlack(client *client, s settings) (Provider, error) {
	address, err := endpoint(s.address)
	if err != nil {
		return nil, err
	}
	webAPI := address.Path == apiPath
	if webAPI {
		if s.token == "" {
			return nil, invalid("chat.postMessage needs the key token in the Secret of spec.secretRef")
		}
		if s.channel == "" {
			return nil, invalid("chat.postMessage needs spec.channel")
		}
	}
	return &slack{
		client: client, address: address.String(), token: s.token, channel: s.channel, username: s.username, webAPI: webAPI,
	}, nil
}

func (s *slack) Send(ctx context.Context, notification event.Event) error {
	headers := map[string]string{}
	if s.token != "" {
		headers["Authorization"] = "Bearer " + s.token
	}
	answer, err := s.client.postJSON(ctx, s.address, s.message(notification), headers)
	if err != nil {
		return err
	}
	if answer.status != 200 {
		return answer.verdict(errorCode(string(answer.body)))
	}
	return slackRefusal(answer, s.webAPI)
}

// slackRefusal reads an answer with status 200. The Web API says that to everything, and what does not say "ok" in its
// form is somebody else's, such as a proxy's login page. A webhook's is the text "ok", and those of services that speak
// Slack's protocol are whatever they like.
func slackRefusal(answer response, webAPI bool) error {
	var body struct {
		OK    *bool  `json:"ok"`
		Error string `json:"error"`
	}
	unclear := json.Unmarshal(answer.body, &body) != nil || body.OK == nil
	switch {
	case unclear && webAPI:
		return &Failure{Reason: "the target answered 200 OK, but not as Slack's Web API does"}
	case unclear || *body.OK:
		return nil
	}
	code := errorCode(body.Error)
	transient := []string{
		"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout",
		"team_added_to_org",
	}
	reason := "Slack refused the message"
	if code != "" {
		reason += ": " + code
	}
	return &Failure{Reason: reason, Permanent: !slices.Contains(transient, code), RetryAfter: retryAfter(answer.header)}
}

func (s *slack) message(notification event.Event) slackMessage {
	object := notification.InvolvedObject
	attachment := slackAttachment{
		Color:  slackGood,
		Text:   escapeSlack(notification.Message, event.MaxMessage),
		Fields: slackMetadata(notification.Metadata),
		Footer: escapeSlack(notification.ReportingController, 100),
	}
	if notification.Severity == eventv1.EventSeverityError {
		attachment.Color = slackDanger
	}
	if !notification.Timestamp.IsZero() {
		attachment.Time = notification.Timestamp.Unix()
	}
	title := strings.ToLower(object.Kind) + "/" + object.Name + "." + object.Namespace
	return slackMessage{
		Channel:     s.channel,
		Username:    s.username,
		Text:        "*" + escapeSlack(title, 600) + "*: " + escapeSlack(notification.Reason, 100),
		Attachments: []slackAttachment{attachment},
	}
}

func slackMetadata(metadata map[string]string) []slackField {
	keys := slices.Sorted(maps.Keys(metadata))
	fields := make([]slackField, 0, min(len(keys), slackFields))
	for _, key := range keys[:min(len(keys), slackFields)] {
		value := escapeSlack(metadata[key], 300)
		fields = append(fields, slackField{Title: escapeSlack(key, 100), Value: value, Short: len(value) <= slackShort})
	}
	return fields
}

// escapeSlack escapes the three characters that Slack gives a meaning to, so that nothing in a commit message or an
// object's name becomes a link or a mention such as <!channel>. It cuts first: an escape is never cut in two.
func escapeSlack(text string, limit int) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(event.Shorten(plainText(text), limit))
}
