// Package completion tells objects that are done from objects that somebody deleted. A Job that removes itself, a Pod that
// ran once, or an object that was collected with its owner is not made again when it is gone: done is done until its content
// changes. See api/decisions/0020-done-is-done.md.
//
// [TraitOf] says what an object's content promises, [State] is what is remembered of it beside its fingerprint, and
// [State.Gone] is the decision; [Ended] and [Done] look at the cluster, where nothing else tells.
package completion

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Trait is how an object may come to an end by itself, as its content says.
type Trait string

// The traits.
const (
	// Lasts: it is there until somebody deletes it.
	Lasts Trait = ""
	// Ends: it comes to an end, and stays until somebody clears it away.
	Ends Trait = "ends"
	// Vanishes: it comes to an end, and is removed some time after that.
	Vanishes Trait = "vanishes"
)

// TraitOf returns the trait of an object as it is applied: Jobs and Pods that are not restarted end, and so does whatever has a
// time to live after its end in its spec, which removes it.
func TraitOf(desired *unstructured.Unstructured) Trait {
	if hasTimeToLive(desired) {
		return Vanishes
	}
	switch desired.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return Ends
	case schema.GroupKind{Kind: "Pod"}:
		policy, _, _ := unstructured.NestedString(desired.Object, "spec", "restartPolicy")
		if policy == "Never" || policy == "OnFailure" {
			return Ends
		}
	}
	return Lasts
}

// hasTimeToLive says whether the spec has a field for how long the object stays after its end: ttlSecondsAfterFinished of a Job
// and its like (ttlSecondsAfterCompletion), or ttlStrategy of a workflow. A bare ttl says nothing of the object: that of a DNS
// record is for how long its answer is kept.
func hasTimeToLive(desired *unstructured.Unstructured) bool {
	spec, _, _ := unstructured.NestedMap(desired.Object, "spec")
	for field := range spec {
		if strings.HasPrefix(field, "ttlSecondsAfter") || field == "ttlStrategy" {
			return true
		}
	}
	return false
}

// State is what is remembered of an applied object.
type State struct {
	Trait Trait `json:"trait,omitempty"`
	// Ended says that the object was seen at its end, Done that it is gone after that: it is not made again until its content
	// changes.
	Ended bool `json:"ended,omitempty"`
	Done  bool `json:"done,omitempty"`
}

// Departure is how an object went.
type Departure struct {
	// Ended says that its last metadata tell of its end.
	Ended bool
	// Unseen says that it went while nobody watched, so that its last metadata are not known.
	Unseen bool
	// Collected says that it was collected with its owners.
	Collected bool
}

// Gone is the state of an object that is not there any more. Of one that removes itself and went unseen, the end is taken as
// seen: to run something twice does more harm than to have somebody ask for it. Last metadata that tell of the end, or that
// there was none, count more than what was seen before: a Job may have looked ended while it waited to try again.
func (s State) Gone(kind schema.GroupKind, d Departure) State {
	s.Ended = d.Ended || s.Ended && (d.Unseen || !MetadataTell(kind))
	s.Done = s.Ended || d.Collected || d.Unseen && s.Trait == Vanishes
	return s
}

// MetadataTell says whether the metadata of an object of the kind tell of its end: those of a Job.
func MetadataTell(kind schema.GroupKind) bool {
	return kind == schema.GroupKind{Group: "batch", Kind: "Job"}
}

// LooksFor says whether only a look at the live object tells whether it has ended.
func (s State) LooksFor(kind schema.GroupKind) bool {
	return s.Trait != Lasts && !s.Ended && !MetadataTell(kind)
}
