package story

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/cluster/sink"
)

// tell answers what until and show can ask beside the real clients:
//
//	ready kustomization/app            the Ready condition, as "False BuildFailed: message"
//	probe notify-controller readyz     the status of the answer to a kubelet's probe
//	received slack-webhook             the bodies that the service accepted, a line each
//	refused slack-webhook              those it did not
//	incidents                          PagerDuty's incidents, a line of JSON each
func (s *Session) tell(ctx context.Context, ts *testscript.TestScript, args []string) (string, bool) {
	here := sceneOf(ts)
	switch question := args[0]; {
	case question == "ready" && len(args) == 2:
		return s.ready(ctx, ts.Getenv("NS"), args[1]), true
	case question == "probe" && len(args) == 3:
		return s.health(ctx, args[1], args[2]), true
	case question == "received" && len(args) == 2:
		return bodies(here.sink.Deliveries(sink.Service(args[1])), true), true
	case question == "refused" && len(args) == 2:
		return bodies(here.sink.Deliveries(sink.Service(args[1])), false), true
	case question == "incidents" && len(args) == 1:
		return lines(here.sink.Incidents()), true
	default:
		return "", false
	}
}

// ask prints what tell answers: ready kustomization/app
func (s *Session) ask(ctx context.Context, question string) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		text, ok := s.tell(ctx, ts, append([]string{question}, args...))
		if !ok {
			ts.Fatalf("usage: ready kind/name | probe controller healthz|readyz | received service | refused service | incidents")
		}
		fmt.Fprintln(ts.Stdout(), strings.TrimSuffix(text, "\n"))
	}
}

func bodies(deliveries []sink.Delivery, accepted bool) string {
	var text strings.Builder
	for _, d := range deliveries {
		if d.Accepted == accepted {
			text.Write(d.Body)
			text.WriteByte('\n')
		}
	}
	return text.String()
}

// fail makes a service of this story fail for its next calls, or let them hang until mend:
// fail slack-webhook 429 2 1s, fail slack-webhook hang
func fail(ts *testscript.TestScript, _ bool, args []string) {
	here := sceneOf(ts)
	if len(args) == 2 && args[1] == "hang" {
		service := sink.Service(args[0])
		here.mend[service] = append(here.mend[service], here.sink.Fail(sink.Failure{Service: service, Hang: true}))
		return
	}
	if len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: fail service status times [retry-after] | fail service hang")
	}
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	times, err := strconv.Atoi(args[2])
	ts.Check(err)
	failure := sink.Failure{Service: sink.Service(args[0]), Status: status, Times: times}
	if len(args) == 4 {
		failure.RetryAfter, err = time.ParseDuration(args[3])
		ts.Check(err)
	}
	here.sink.Fail(failure)
}

// mend lets a service that hangs answer again: mend slack-webhook
func mend(ts *testscript.TestScript, _ bool, args []string) {
	here := sceneOf(ts)
	for _, name := range args {
		for _, remove := range here.mend[sink.Service(name)] {
			remove()
		}
		delete(here.mend, sink.Service(name))
	}
}

func lines[T any](all []T) string {
	text := ""
	for _, one := range all {
		line, err := json.Marshal(one)
		if err != nil {
			line = []byte(err.Error())
		}
		text += string(line) + "\n"
	}
	return text
}
