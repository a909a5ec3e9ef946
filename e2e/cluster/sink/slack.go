package sink

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxBlocks is the most layout blocks that Slack takes in one message.
const maxBlocks = 50

// slackMessage is the part of a message that decides whether Slack takes it.
type slackMessage struct {
	Channel     string            `json:"channel"`
	Text        string            `json:"text"`
	Blocks      []json.RawMessage `json:"blocks"`
	Attachments []json.RawMessage `json:"attachments"`
}

// fault names what is wrong in Slack's words; empty means nothing.
func (m slackMessage) fault() string {
	switch {
	case m.Text == "" && len(m.Blocks) == 0 && len(m.Attachments) == 0:
		return "no_text"
	case len(m.Blocks) > maxBlocks:
		return "invalid_blocks"
	default:
		return ""
	}
}

// slackWebhook answers as an incoming webhook: plain text, "ok" or an error name.
func (s *Server) slackWebhook(header http.Header, body []byte) answer {
	if mediaType(header) == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return answer{status: http.StatusBadRequest, text: "invalid_payload"}
		}
		body = []byte(form.Get("payload"))
	}
	var message slackMessage
	if err := json.Unmarshal(body, &message); err != nil {
		return answer{status: http.StatusBadRequest, text: "invalid_payload"}
	}
	if fault := message.fault(); fault != "" {
		return answer{status: http.StatusBadRequest, text: fault}
	}
	return answer{status: http.StatusOK, text: "ok", accepted: true}
}

// slackPostMessage answers as chat.postMessage: status 200 and ok true or false.
func (s *Server) slackPostMessage(header http.Header, body []byte) answer {
	token, found := strings.CutPrefix(header.Get("Authorization"), "Bearer ")
	if !found {
		return slackRefusal("not_authed")
	}
	if s.options.SlackToken != "" && token != s.options.SlackToken {
		return slackRefusal("invalid_auth")
	}
	if mediaType(header) != "application/json" {
		return slackRefusal("invalid_post_type")
	}
	var message slackMessage
	if err := json.Unmarshal(body, &message); err != nil {
		return slackRefusal("invalid_json")
	}
	if message.Channel == "" {
		return slackRefusal("channel_not_found")
	}
	if fault := message.fault(); fault != "" {
		return slackRefusal(fault)
	}
	return answer{status: http.StatusOK, accepted: true, json: map[string]any{
		"ok": true, "channel": message.Channel, "ts": timestamp(time.Now()),
	}}
}

func slackRefusal(reason string) answer {
	return answer{status: http.StatusOK, json: map[string]any{"ok": false, "error": reason}}
}

// timestamp is Slack's id of a message: seconds and microseconds.
func timestamp(t time.Time) string {
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
}

func mediaType(header http.Header) string {
	name, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return name
}
