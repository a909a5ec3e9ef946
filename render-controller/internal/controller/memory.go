package controller

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/render-controller/internal/plan"
	"github.com/sluice-gitops/sluice/render-controller/internal/trace"
)

// memory holds what the latest rendering of each subject was made from, and what it gave. It is empty after a restart:
// every subject is rendered once then. It is safe for concurrent use.
type memory struct {
	clock clock.PassiveClock

	mu       sync.Mutex
	subjects map[types.NamespacedName]memo
}

type memo struct {
	uid        types.UID
	generation int64
	// settings is the fingerprint of all inputs but the artifact, which is known by its digest.
	settings [sha256.Size]byte
	artifact string
	// tag and warnings are what the rendering gave; trace is what it asked its tree.
	tag      string
	warnings []string
	trace    []trace.Entry
	// output says what came out for a release, whose tag is that of its inputs.
	output rendering.Tag
	// missing is the URL at which there was no artifact.
	missing string
	// yielded is the digest of the artifact for which the subject has let others go first.
	yielded string
	// lost tells of the workers that were lost since the latest rendering.
	lost loss
}

// loss tells of workers that did not live to render a subject.
type loss struct {
	settings [sha256.Size]byte
	artifact string
	// times in a row, with these inputs.
	times int
	// until is how long the subject rests, with the problem reported.
	until   time.Time
	problem plan.Problem
}

// A subject that a worker was lost on rests, longer each time: it may have been another's fault, as when the machine was
// short of memory, or may be so for ever.
const (
	firstRest   = 10 * time.Second
	longestRest = 15 * time.Minute
)

func newMemory() *memory {
	return &memory{clock: clock.RealClock{}, subjects: map[types.NamespacedName]memo{}}
}

// update changes what is known of a subject, and returns it.
func (m *memory) update(name types.NamespacedName, change func(*memo)) memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	latest := m.subjects[name]
	change(&latest)
	m.subjects[name] = latest
	return latest
}

// missing notes that nothing can be had from a URL, and says whether nothing could before either.
func (m *memory) missing(name types.NamespacedName, uid types.UID, url string) (again bool) {
	m.update(name, func(known *memo) {
		if known.uid != uid {
			*known = memo{uid: uid}
		}
		again = known.missing == url
		known.missing = url
	})
	return again
}

// lose notes that a worker was lost on what was observed, and returns the problem to report.
func (m *memory) lose(o *observation, problem plan.Problem) plan.Problem {
	m.update(o.name, func(known *memo) {
		if known.uid != o.state.Subject.UID {
			*known = memo{uid: o.state.Subject.UID}
		}
		l := &known.lost
		if l.settings != o.settings || l.artifact != o.artifact.Digest {
			*l = loss{settings: o.settings, artifact: o.artifact.Digest}
		}
		problem.Retry = min(longestRest, firstRest<<min(l.times, 10))
		l.times++
		problem.Attempt = l.times
		problem.Message = fmt.Sprintf("%s (%d in a row so far); it is rendered again after %s, and at once when its source or spec changes or on request",
			problem.Message, l.times, problem.Retry)
		l.until, l.problem = m.clock.Now().Add(problem.Retry), problem
	})
	return problem
}

// resting returns the problem to report of a subject that rests; nil for any other.
func (m *memory) resting(o *observation) *plan.Problem {
	lost := m.get(o.name, o.state.Subject.UID).lost
	left := lost.until.Sub(m.clock.Now())
	if lost.times == 0 || left <= 0 || lost.settings != o.settings || lost.artifact != o.artifact.Digest {
		return nil
	}
	lost.problem.Retry = left
	return &lost.problem
}

// outdated says that other inputs than those of the latest rendering have another output. For a release the tag does not
// say so: it stays while only, for example, what the API server serves has changed, and that is no reason for an upgrade.
// The next one is to be made of the newest output all the same.
func (m *memory) outdated(o *observation, output rendering.Tag) bool {
	known := m.get(o.name, o.state.Subject.UID)
	return known.output != "" && known.output != output && known.settings != o.settings
}

func (m *memory) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.subjects, name)
}

// get returns what is known of a subject; nothing of another of the same name before it.
func (m *memory) get(name types.NamespacedName, uid types.UID) memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.subjects[name]; known.uid == uid {
		return known
	}
	return memo{}
}
