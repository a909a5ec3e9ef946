package drift

import "slices"

// statusSubresource is where controllers report; a write through it says nothing about drift.
const statusSubresource = "status"

// Verdict is what a change of metadata means.
type Verdict struct {
	Type Type
	// Manager is who did it, as far as managedFields tell.
	Manager string
}

// Classify says what the step from old to live means, when no version between them was missed. Old is nil for an object
// that was not seen before. It is a pure function.
//
// The rule: our Apply entry is ours to change. The API server stamps it when an apply of ours changes anything, and only
// an apply of ours can add a field to it. When it changes without either, somebody has taken a field from it (kubectl scale
// does so through the scale subresource) or removed it. Two applies of ours within a second may look the same, and then
// cost a look for nothing.
func Classify(old, live *Seen) Verdict { return classify(old, live, false) }

// ClassifyGap is [Classify] for when versions between the two may have been missed: a new stamp is then no proof that
// nobody else was there after us.
func ClassifyGap(old, live *Seen) Verdict { return classify(old, live, true) }

func classify(old, live *Seen, gap bool) Verdict {
	switch {
	case old == nil:
		return Verdict{}
	case old.Fingerprint == live.Fingerprint:
		return Verdict{Type: quiet(old, live)}
	case old.Fingerprint == "":
		return Verdict{} // our first apply
	case old.UID != live.UID && live.Fingerprint != "":
		return Verdict{} // recreated by us: nobody else applies with our name
	case live.Fingerprint != "" && !gap && (live.Applied > old.Applied || live.Fields > old.Fields):
		return Verdict{} // our own apply
	}
	return Verdict{Type: Changed, Manager: culprit(old, live)}
}

// quiet tells apart what happens while our fields stand.
func quiet(old, live *Seen) Type {
	if live.Fingerprint == "" || old.ResourceVersion == live.ResourceVersion {
		return None
	}
	return StatusChanged
}

// culprit names the manager of the newest mark that is not about status: of those that are new or renewed, or else of all,
// because the stamps have no fractions of a second.
func culprit(old, live *Seen) string {
	var renewed, newest Mark
	for _, m := range live.Others {
		if m.Subresource == statusSubresource {
			continue
		}
		if m.At >= newest.At {
			newest = m
		}
		if m.At >= renewed.At && !slices.Contains(old.Others, m) {
			renewed = m
		}
	}
	if renewed.Manager != "" {
		return renewed.Manager
	}
	return newest.Manager
}
