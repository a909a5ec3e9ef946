package story

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/cluster/sink"
)

// report is what the sinks tell, and what until can ask beside the real clients:
//
//	received slack-webhook    the bodies that the service accepted, a line each
//	refused slack-webhook     those it did not
//	incidents                 PagerDuty's incidents, a line of JSON each
func (s *Session) report(args []string) (string, bool) {
	switch {
	case len(args) == 2 && (args[0] == "received" || args[0] == "refused"):
		return s.bodies(sink.Service(args[1]), args[0] == "received"), true
	case len(args) == 1 && args[0] == "incidents":
		return lines(s.World.Sink.Incidents()), true
	default:
		return "", false
	}
}

func (s *Session) bodies(service sink.Service, accepted bool) string {
	var text strings.Builder
	for _, d := range s.World.Sink.Deliveries(service) {
		if d.Accepted == accepted {
			text.Write(d.Body)
			text.WriteByte('\n')
		}
	}
	return text.String()
}

func (s *Session) received(ts *testscript.TestScript, _ bool, args []string) {
	s.print(ts, append([]string{"received"}, args...))
}

func (s *Session) refused(ts *testscript.TestScript, _ bool, args []string) {
	s.print(ts, append([]string{"refused"}, args...))
}

func (s *Session) incidents(ts *testscript.TestScript, _ bool, _ []string) {
	s.print(ts, []string{"incidents"})
}

func (s *Session) print(ts *testscript.TestScript, args []string) {
	text, ok := s.report(args)
	if !ok {
		ts.Fatalf("usage: received service | refused service | incidents")
	}
	fmt.Fprint(ts.Stdout(), text)
}

// fail makes a service fail for its next calls: fail slack-webhook 429 2 1s
func (s *Session) fail(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: fail service status times [retry-after]")
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
	s.World.Sink.Fail(failure)
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
