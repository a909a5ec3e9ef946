package controller

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-gitops/sluice/api/v1alpha1"
	"github.com/sluice-gitops/sluice/sync-controller/internal/health"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
	"github.com/sluice-gitops/sluice/sync-controller/internal/keep"
	"github.com/sluice-gitops/sluice/sync-controller/internal/plan"
)

// progress is what a restart must not lose of a subject. It is kept on disk.
type progress struct {
	Goal     plan.Goal  `json:"goal"`
	Stage    plan.Stage `json:"stage"`
	Cause    plan.Cause `json:"cause,omitempty"`
	Outcome  string     `json:"outcome,omitempty"`
	Reported string     `json:"reported,omitempty"`
	Message  string     `json:"message,omitempty"`

	// Stalled says that the failure is not retried.
	Stalled bool `json:"stalled,omitempty"`
	// Release is the version that the attempt has recorded in Helm's storage, Action why; 0 when none.
	Release int    `json:"release,omitempty"`
	Action  string `json:"action,omitempty"`

	Started   time.Time `json:"started"`
	AppliedAt time.Time `json:"appliedAt"`
	EndedAt   time.Time `json:"endedAt"`

	// Change is what was changed since the last outcome that was told; nil when nothing was.
	Change *v1alpha1.ChangeSet `json:"change,omitempty"`

	// Held is the content that heals the cluster: the latest of which anything was written.
	Held held `json:"held"`
}

// held names a kept content.
type held struct {
	Tag    string `json:"tag,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// imprint is what is remembered of an applied object, to know without a request that it is unchanged.
type imprint struct {
	// Content is the keyed hash of what was applied, Live the fingerprint of the object afterwards.
	Content string `json:"content"`
	Live    string `json:"live"`
}

// memory is everything that is remembered of one subject between passes. Only the pass of that subject uses it; the
// mailbox alone is shared with the watches.
type memory struct {
	mailbox mailbox

	uid      types.UID
	loaded   bool
	verified bool
	// missed is since when objects may have changed unseen without having been compared; zero when they have not.
	missed time.Time
	record progress
	prints map[string]imprint

	// validated is the generation whose expressions were compiled, invalid what was wrong. The expressions are kept as long:
	// those of dependencies by their text, and those of health.
	validated int64
	invalid   string
	readiness map[string]*cel.Expression
	exprs     *health.Expressions
	// resumed is when the objects of an interrupted attempt were applied; zero otherwise.
	resumed time.Time
	// waiting is since when there is no Render that matches.
	waiting time.Time
	// planned are the ids of the running attempt's content, survivors those that could not be pruned. Nil before its apply.
	planned   inventory.Inventory
	survivors []inventory.Entry
	// gate is the source whose Renders a prune waits for; empty when none does.
	gate string
	// refs are the objects whose health decides, unhealthy those not seen healthy in this attempt.
	refs      []health.Ref
	unhealthy map[inventory.ID]bool
	report    health.Report
	// fluxTag is the content in which Flux's own controllers were found, fluxNames their names.
	fluxTag   string
	fluxNames []string
	fights    map[inventory.ID]*fight
	// awaited says that a deletion waits for what it deletes.
	awaited bool
	// troubled says that a failure was told, and not its end.
	troubled bool

	writes writes
	// sync is the record as it was written last, next as it is to be.
	sync, next *v1alpha1.Sync
	announced  string
	release    releaseMemory
}

// load reads what is kept of the subject. What is kept of another one of the same name does not count.
func (m *memory) load(store *keep.Store, key keep.Key, uid types.UID) error {
	m.uid = uid
	if err := store.State(key, &m.record); err != nil && !errors.Is(err, keep.ErrAbsent) {
		return err
	}
	m.prints = make(map[string]imprint)
	if m.record.Goal.UID != uid {
		m.record = progress{}
		return nil
	}
	m.resume()
	if err := store.Fingerprints(key, &m.prints); err != nil && !errors.Is(err, keep.ErrAbsent) {
		return err
	}
	return nil
}

// resume goes back to the start of an interrupted attempt: which objects it is about is only known after its apply, which
// costs nothing where everything is as it was. The deadline of its health stays.
func (m *memory) resume() {
	if m.record.Stage == plan.Applied || m.record.Stage == plan.Pruned {
		m.resumed = m.record.AppliedAt
		m.record.Stage = plan.Started
	}
}

// attempt is the record as decisions see it at a given time.
func (m *memory) attempt(now time.Time) plan.Attempt {
	r := m.record
	return plan.Attempt{
		Goal: r.Goal, Stage: r.Stage, Cause: r.Cause, Outcome: r.Outcome, Reported: r.Reported, Message: r.Message,
		Verified: m.verified, Stalled: r.Stalled,
		Age: now.Sub(r.Started), SinceApplied: now.Sub(r.AppliedAt), SinceEnded: now.Sub(r.EndedAt),
	}
}

// memories holds the memory of every subject of one kind. It is safe for concurrent use.
type memories struct {
	mu  sync.Mutex
	all map[keep.Key]*memory
}

// of returns the subject's memory, and makes it if needed.
func (m *memories) of(key keep.Key) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = make(map[keep.Key]*memory)
	}
	found, ok := m.all[key]
	if !ok {
		found = &memory{fights: make(map[inventory.ID]*fight)}
		m.all[key] = found
	}
	return found
}

// find returns the subject's memory if there is one.
func (m *memories) find(key keep.Key) (found *memory, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, ok = m.all[key]
	return found, ok
}

// forget drops the subject's memory.
func (m *memories) forget(key keep.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}

// writes remembers a subject as our latest patch left it: until a cache shows that version, or a newer one, it stands in
// for what the cache shows.
type writes struct {
	latest subject
}

// wrote notes what a patch returned.
func (w *writes) wrote(latest subject) { w.latest = latest.copied() }

// current returns the newer of what a cache shows and what was written. The versions of one kind of objects are numbers
// that grow (Kubernetes promises that since 1.35); where they are not, the cache is believed.
func (w *writes) current(cached subject) subject {
	if w.latest == nil {
		return cached
	}
	shown, err := strconv.ParseUint(cached.object().GetResourceVersion(), 10, 64)
	written, writtenErr := strconv.ParseUint(w.latest.object().GetResourceVersion(), 10, 64)
	if err != nil || writtenErr != nil || shown >= written {
		w.latest = nil
		return cached
	}
	return w.latest.copied()
}
