// Package fingerprint knows, without a request, which applied objects are as they were left.
//
// An [Entry] remembers of an object what was applied and how it looked right after; a [Set] holds those of one subject and
// compares them with what watches tell.
package fingerprint

import (
	"github.com/sluice-gitops/sluice/sync-controller/internal/apply"
	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// Entry is what is remembered of an applied object.
type Entry struct {
	// Content is the keyed hash of what was applied, Live the fingerprint of the object afterwards, User as whom that was.
	Content string `json:"content"`
	Live    string `json:"live"`
	User    string `json:"user,omitempty"`

	completion.State
}

// Set holds the entries of a subject, by the text of their ids. It is kept on disk.
type Set map[string]Entry

// Live tells the fingerprint that an object has now; found is false for one that does not exist.
type Live func(id inventory.ID) (fingerprint string, found bool)

// Key makes the entries of one subject.
type Key struct {
	// Secret keys the hashes.
	Secret []byte
	// Manager is the field manager that applies, User as whom: for another account everything that exists is asked for again,
	// since it may have other rights. What is done stays done.
	Manager, User string
}

// Contents are the keyed hashes of what is applied.
func (k Key) Contents(set apply.Set) (map[inventory.ID]string, error) {
	return set.ContentMACs(k.Secret)
}

// Update remembers what an apply of a set did. It says whether anything is remembered otherwise now.
func (s Set) Update(k Key, changes apply.ChangeSet, contents map[inventory.ID]string, traits map[inventory.ID]completion.Trait) (touched bool) {
	for _, c := range changes {
		before := s[c.ID.String()]
		now := before
		switch {
		case c.Action == apply.Finished:
			now.Done = true
		case c.Live == nil:
			continue
		default:
			now = Entry{Content: contents[c.ID], Live: apply.Fingerprint(k.Secret, k.Manager, c.Live), User: k.User}
			if now.Content == before.Content && now.Live == before.Live {
				now.State = before.State
			}
			now.Trait = traits[c.ID]
		}
		if before != now {
			s[c.ID.String()], touched = now, true
		}
	}
	return touched
}

// Retain forgets the objects that are no longer applied. It says whether there were any.
func (s Set) Retain(planned inventory.Inventory) (touched bool) {
	if len(s) <= len(planned) {
		return false
	}
	current := make(map[string]bool, len(planned))
	for id := range planned {
		current[id.String()] = true
	}
	for id := range s {
		if !current[id] {
			delete(s, id)
			touched = true
		}
	}
	return touched
}

// Unchanged says for which objects no request is needed: the same content was applied as the same user, and what is known of
// the live object is what it was right after.
func (s Set) Unchanged(k Key, contents map[inventory.ID]string, live Live) func(inventory.ID) bool {
	return func(id inventory.ID) bool {
		have, known := s[id.String()]
		return known && have.Content == contents[id] && have.User == k.User && s.AsLeft(id, live)
	}
}

// AllAsLeft says whether the set holds these objects and no others, all of them as this user left them, or done.
func (s Set) AllAsLeft(k Key, objects inventory.Inventory, live Live) bool {
	if len(objects) != len(s) {
		return false
	}
	for id := range objects {
		have := s[id.String()]
		if !have.Done && (have.User != k.User || !s.AsLeft(id, live)) {
			return false
		}
	}
	return true
}

// AsLeft says whether an object is, as far as watches tell, as it was right after its apply.
func (s Set) AsLeft(id inventory.ID, live Live) bool {
	have := s[id.String()].Live
	now, found := live(id)
	return found && have != "" && now == have
}

// Moved returns those of the objects that are not as they were left, and whether they still exist. Of one that has no
// entry nothing is known; one that is done is gone for good.
func (s Set) Moved(objects inventory.Inventory, live Live) map[inventory.ID]bool {
	moved := make(map[inventory.ID]bool)
	for id := range objects {
		have, applied := s[id.String()]
		now, found := live(id)
		if applied && !have.Done && (!found || now != have.Live) {
			moved[id] = found
		}
	}
	return moved
}
