package heal

import (
	"context"

	"github.com/sluice-gitops/sluice/sync-controller/internal/completion"
	"github.com/sluice-gitops/sluice/sync-controller/internal/drift"
	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// leaveDone takes the signals out that are about objects which are done, and remembers them as such. It returns those of which
// that could not be found out.
func (in Input) leaveDone(ctx context.Context) (completion.Unread, error) {
	var gone []completion.Departed
	for id, s := range in.Signals {
		if s.Type != drift.Gone {
			continue
		}
		gone = append(gone, completion.Departed{
			Entry: s.Object, State: in.Fingerprints.State(id), Owners: s.Owners,
			Departure: completion.Departure{Ended: s.Ended, Unseen: s.Unseen},
		})
	}
	if len(gone) == 0 {
		return nil, nil
	}
	reader, err := in.Reader()
	if err != nil {
		return nil, err
	}
	done, unread := completion.Done(ctx, reader, gone, in.Ours)
	for id := range done {
		delete(in.Signals, id)
	}
	if in.Fingerprints.SetStates(done) {
		return unread, in.Save()
	}
	return unread, nil
}

// take takes the signals about these objects out.
func (in Input) take(unread completion.Unread) map[inventory.ID]drift.Signal {
	taken := make(map[inventory.ID]drift.Signal, len(unread))
	for id := range unread {
		taken[id] = in.Signals[id]
		delete(in.Signals, id)
	}
	return taken
}

// done says which objects are not to be made when they turn out not to exist. Those that a watch calls gone were looked at: see
// leaveDone. Any other may have come to its end as well, for instance when another subject hands it over.
func (in Input) done(contents map[inventory.ID]string) func(inventory.ID) bool {
	is := in.Fingerprints.Done(contents, nil)
	return func(id inventory.ID) bool { return in.Signals[id].Type != drift.Gone && is(id) }
}
