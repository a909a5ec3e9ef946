package subject

import "strconv"

// Writes remembers a subject as our latest patch left it: until a cache shows that version, or a newer one, it stands in
// for what the cache shows. The zero value remembers nothing.
type Writes struct {
	latest Subject
}

// Wrote notes what a patch returned.
func (w *Writes) Wrote(latest Subject) { w.latest = latest.Copy() }

// Current returns the newer of what a cache shows and what was written. The versions of one kind of objects are numbers
// that grow (Kubernetes promises that since 1.35); where they are not, the cache is believed.
func (w *Writes) Current(cached Subject) Subject {
	if w.latest == nil {
		return cached
	}
	shown, err := strconv.ParseUint(cached.Object().GetResourceVersion(), 10, 64)
	written, writtenErr := strconv.ParseUint(w.latest.Object().GetResourceVersion(), 10, 64)
	if err != nil || writtenErr != nil || shown >= written {
		w.latest = nil
		return cached
	}
	return w.latest.Copy()
}
