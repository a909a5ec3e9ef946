package route

import (
	"maps"
	"slices"
	"strings"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-gitops/sluice/api/event"
)

// Limits of a notification's metadata: with them a delivery always fits into a message of the bus.
const (
	// MaxMetadata is how many entries are passed on, first by name.
	MaxMetadata = 32
	// MaxMetadataKey and MaxMetadataValue are their longest key and value in bytes.
	MaxMetadataKey   = 128
	MaxMetadataValue = 512
)

const summaryKey = "summary"

// Notification is the event as the Alert's Provider gets it. Its metadata is merged from, each overriding those before:
// annotations of the object (event.toolkit.fluxcd.io/…), the Alert's eventMetadata, its summary, and what the
// controller said (<API group>/…); prefixes are taken off, and checksum, digest and token left out. The second value
// names the keys that more than one of them had.
func (r *Rule) Notification(ev event.Event) (event.Event, []string) {
	group := schema.FromAPIVersionAndKind(ev.InvolvedObject.APIVersion, ev.InvolvedObject.Kind).Group
	layers := []map[string]string{withPrefix(ev.Metadata, eventv1.Group), r.metadata, {}, withPrefix(ev.Metadata, group)}
	if r.summary != "" {
		layers[2][summaryKey] = r.summary
	}
	merged, conflicts := map[string]string{}, map[string]bool{}
	for _, layer := range layers {
		for key, value := range layer {
			if _, taken := merged[key]; taken {
				conflicts[key] = true
			}
			merged[key] = value
		}
	}
	for _, key := range []string{eventv1.MetaChecksumKey, eventv1.MetaDigestKey, eventv1.MetaTokenKey} {
		delete(merged, key)
	}
	out := *ev.DeepCopy()
	out.Metadata = bound(merged)
	return out, slices.Sorted(maps.Keys(conflicts))
}

func withPrefix(metadata map[string]string, group string) map[string]string {
	out := map[string]string{}
	if group == "" {
		return out
	}
	for key, value := range metadata {
		if name, ok := strings.CutPrefix(key, group+"/"); ok {
			out[name] = value
		}
	}
	return out
}

// bound keeps what routing and providers rely on (revision, commit status) before anything else.
func bound(metadata map[string]string) map[string]string {
	first := []string{
		eventv1.MetaRevisionKey, eventv1.MetaOriginRevisionKey, eventv1.MetaCommitKey,
		eventv1.MetaCommitStatusKey, eventv1.MetaChangeRequestKey, summaryKey,
	}
	out := map[string]string{}
	for _, key := range append(first, slices.Sorted(maps.Keys(metadata))...) {
		value, ok := metadata[key]
		if !ok || len(out) >= MaxMetadata || len(key) > MaxMetadataKey {
			continue
		}
		out[key] = event.Shorten(value, MaxMetadataValue)
	}
	return out
}

// CommitStatusUpdate reports whether a notification exists only so that commit statuses move: nothing changed, and
// people who read a chat are not told.
func CommitStatusUpdate(notification event.Event) bool {
	return notification.HasMetadata(eventv1.MetaCommitStatusKey, eventv1.MetaCommitStatusUpdateValue)
}
