package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/event"
)

// maxObjects whose last event is remembered; beyond, all is forgotten, which costs a repetition each.
const maxObjects = 20_000

// repeats knows each object's last event. Flux's controllers post the same failure at each attempt; only the first says
// anything. Compared is with the last one, not with all of the interval: failing again after a recovery is news. What is
// remembered is gone after a restart. It is safe for concurrent use.
type repeats struct {
	interval time.Duration
	clock    clock.PassiveClock

	mu   sync.Mutex
	last map[string]posted
}

type posted struct {
	content string
	at      time.Time
}

func newRepeats(interval time.Duration, c clock.PassiveClock) *repeats {
	return &repeats{interval: interval, clock: c, last: map[string]posted{}}
}

func (r *repeats) repeated(ev event.Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.last[object(ev)]
	return ok && last.content == content(ev) && r.clock.Since(last.at) < r.interval
}

// note is called once the event is stored.
func (r *repeats) note(ev event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.last) >= maxObjects {
		clear(r.last)
	}
	r.last[object(ev)] = posted{content: content(ev), at: r.clock.Now()}
}

func object(ev event.Event) string {
	ref := ev.InvolvedObject
	return digest(ref.Kind, ref.Namespace, ref.Name, string(ref.UID))
}

// content is what an event says, whenever and by whichever replica.
func content(ev event.Event) string {
	ev.Timestamp, ev.ReportingInstance, ev.InvolvedObject.ResourceVersion = metav1.Time{}, "", ""
	return identity(ev)
}

// identity is the same for the same event sent again.
func identity(ev event.Event) string {
	data, err := json.Marshal(ev)
	if err != nil {
		return digest(ev.InvolvedObject.Name, ev.Reason, ev.Message) // strings always encode; this keeps it total
	}
	return digest(string(data))
}

func digest(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d:%s;", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
