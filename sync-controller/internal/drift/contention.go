package drift

import (
	"maps"
	"time"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Times of a contention.
const (
	contentionCalm  = 5 * time.Minute
	contentionFirst = time.Second
	contentionMax   = 5 * time.Minute
	// FreeCorrections is how many corrections in a row are made at once.
	FreeCorrections = 3
)

// Contentions are the objects of a subject whose corrections follow each other too fast, because somebody else writes them
// too. Make it with make.
type Contentions map[inventory.ID]*Contention

// Corrected counts another correction of an object, and returns how many there were in a row.
func (c Contentions) Corrected(id inventory.ID, now time.Time) int {
	return c.corrected(id, now).count
}

// Refused counts a correction that failed: whatever it is, the next one waits.
func (c Contentions) Refused(id inventory.ID, now time.Time) {
	one := c.corrected(id, now)
	one.count = max(one.count, FreeCorrections+1)
}

// Expire forgets those that are over.
func (c Contentions) Expire(now time.Time) {
	maps.DeleteFunc(c, func(_ inventory.ID, one *Contention) bool { return one.over(now) })
}

func (c Contentions) corrected(id inventory.ID, now time.Time) *Contention {
	one := c[id]
	if one == nil {
		one = &Contention{}
		c[id] = one
	}
	one.corrected(now)
	return one
}

// rest is how long the next correction of an object has to wait.
func (c Contentions) rest(id inventory.ID, now time.Time) time.Duration { return c[id].rest(now) }

// Contention counts corrections of an object that follow each other too fast. Nil is none.
type Contention struct {
	count int
	last  time.Time
}

// rest is how long the next correction has to wait.
func (c *Contention) rest(now time.Time) time.Duration {
	if c == nil || c.count <= FreeCorrections {
		return 0
	}
	pause := min(contentionMax, contentionFirst<<min(c.count-FreeCorrections, 10))
	return pause - now.Sub(c.last)
}

// corrected counts another correction; a calm time ends the contention before.
func (c *Contention) corrected(now time.Time) {
	if c.over(now) {
		c.count = 0
	}
	c.count++
	c.last = now
}

// over says that nothing has happened for so long that the next correction is the first again.
func (c *Contention) over(now time.Time) bool { return now.Sub(c.last) > contentionCalm+c.pause() }

func (c *Contention) pause() time.Duration { return max(0, c.rest(c.last)) }
