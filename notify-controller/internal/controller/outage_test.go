package controller

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
)

// TestOutage: an outage of over a minute is told once, a short one never, and the next one again.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := record.NewFakeRecorder(100)
		var logged []string
		log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
		var connected atomic.Bool
		watch := &outage{connected: connected.Load, namespace: "flux-system", reports: Reports{Recorder: recorder}, clock: clock.RealClock{}, log: log}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- watch.Start(ctx) }()
		// Nothing changes in the instant of a look, which is every ten seconds: either could come first.
		for _, outage := range []time.Duration{45 * time.Second, time.Hour, 2 * time.Minute} {
			connected.Store(false)
			<-time.After(outage)
			connected.Store(true)
			<-time.After(time.Minute)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		close(recorder.Events)
		var told []string
		for text := range recorder.Events {
			told = append(told, text)
		}
		if len(told) != 2 || !strings.HasPrefix(told[0], "Warning NATSUnreachable NATS cannot be reached since ") {
			t.Errorf("told %q, want two Warnings", told)
		}
		said := []string{`"error"="NATS cannot be reached since `, `"msg"="recovered: NATS can be reached again" "duration"="1h0m`}
		if len(logged) != 4 || !slices.EqualFunc(logged[:2], said, strings.Contains) {
			t.Errorf("logged\n%s", strings.Join(logged, "\n"))
		}
	})
}
