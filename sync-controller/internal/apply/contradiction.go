package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// A server-side apply adds to what is there: a field that we do not apply stays, when somebody else has set it or the API
// server has defaulted it. Most fields stand beside each other; some contradict each other, and then the object is refused
// although what we apply is valid. A Deployment that becomes `Recreate` has the rollingUpdate of its default strategy left
// over; a port whose number was edited by hand stands beside ours with the same name; an env variable has value and
// valueFrom.

// exclusive is how the API server says that a field contradicts another one.
var exclusive = regexp.MustCompile(`may not (be (specified|set|used)|specify more than)`)

// resolve takes over the fields of the live object that contradict what is applied, and that nobody else applies, so that an
// apply removes them. It returns what the dry-run says then; what it says before when there are none, or that is not it.
//
// It writes managedFields, because a dry-run cannot be tried on top of another, and puts them back when that does not help.
func (r *run) resolve(ctx context.Context, s *step, refusal error) (*unstructured.Unstructured, error) {
	if s.live == nil || !apierrors.IsInvalid(refusal) || r.rules.keepForeignFields(s.desired, s.live) {
		return nil, refusal
	}
	before := s.live.GetManagedFields()
	after, err := claim(before, r.FieldManager, contradictions(s.live, s.desired, refusal))
	if err != nil || after == nil {
		return nil, refusal
	}
	live := s.live.DeepCopy()
	if err := r.writeManagers(ctx, live, after); err != nil {
		return nil, refusal
	}
	tried, err := r.try(ctx, s.item)
	if err != nil {
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBack) // also when that is why there is no answer
		defer cancel()
		if err := r.writeManagers(rest, live, before); err != nil {
			return nil, errors.Join(refusal, err)
		}
		return nil, refusal
	}
	s.live = live
	return tried, nil
}

// putBack is how long managedFields may take to be put back.
const putBack = 5 * time.Second

// writeManagers replaces the managedFields of the very version that was read, and updates live.
func (r *run) writeManagers(ctx context.Context, live *unstructured.Unstructured, fields []metav1.ManagedFieldsEntry) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"managedFields": fields, "resourceVersion": live.GetResourceVersion(),
	}})
	if err != nil {
		return fmt.Errorf("encode managedFields: %w", err)
	}
	return r.Client.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(r.FieldManager))
}

// contradictions are the fields of the live object that a refusal is about and that the desired one does not have.
func contradictions(live, desired *unstructured.Unstructured, refusal error) *fieldpath.Set {
	found := fieldpath.NewSet()
	var status apierrors.APIStatus
	if !errors.As(refusal, &status) || status.Status().Details == nil {
		return found
	}
	known, err := setOf(live.GetManagedFields()...)
	if err != nil {
		return found
	}
	for _, cause := range status.Status().Details.Causes {
		names := strings.Split(cause.Field, ".")
		above := len(names) - 1
		w := walk{found: found, field: names[above], duplicate: cause.Type == metav1.CauseTypeFieldValueDuplicate}
		w.siblings = above > 1 // those right below spec are too many and too different to be alternatives
		if w.duplicate || exclusive.MatchString(cause.Message) {
			w.down(names[:above], known, nil, live.Object, desired.Object)
		}
	}
	return found
}

// walk follows the path of a cause through the live and the desired object at once. Elements of lists go together by their
// keys, which are those that managedFields name; the indexes of a cause are those of an object that never came to be.
type walk struct {
	found     *fieldpath.Set
	field     string // the last name of the cause
	duplicate bool   // elements that only the live object has, and that have the same in this field, are wanted
	siblings  bool   // if the desired object has the field, what stands beside it in the live one is wanted
}

func (w walk) down(names []string, known *fieldpath.Set, at fieldpath.Path, live, desired any) {
	if len(names) == 0 {
		w.compare(at, live, desired)
		return
	}
	name, list := strings.CutSuffix(names[0], "]")
	if list {
		name, _, _ = strings.Cut(name, "[")
	}
	element := fieldpath.PathElement{FieldName: &name}
	known, at = known.WithPrefix(element), append(at.Copy(), element)
	live, desired = member(live, name), member(desired, name)
	if !list {
		w.down(names[1:], known, at, live, desired)
		return
	}
	w.through(names[1:], known, at, live, desired)
}

// through goes on in the elements of two lists.
func (w walk) through(names []string, known *fieldpath.Set, at fieldpath.Path, live, desired any) {
	last := len(names) == 0
	for _, key := range keysIn(known) {
		mine, theirs := find(desired, key), find(live, key)
		switch {
		case theirs == nil:
		case mine == nil && w.duplicate && last && w.taken(theirs, desired):
			w.found.Insert(append(at.Copy(), key))
		case mine != nil && !last:
			w.down(names, known.WithPrefix(key), append(at.Copy(), key), theirs, mine)
		case mine != nil && !w.duplicate:
			w.compare(append(at.Copy(), key), theirs, mine)
		}
	}
}

// taken says that an element of the desired list has the same in the field as the element.
func (w walk) taken(element, desired any) bool {
	elements, _ := desired.([]any)
	return member(element, w.field) != nil && slices.ContainsFunc(elements, func(e any) bool {
		return fmt.Sprint(member(e, w.field)) == fmt.Sprint(member(element, w.field))
	})
}

// compare looks at the two structs that the cause's last field is in.
func (w walk) compare(at fieldpath.Path, live, desired any) {
	theirs, _ := live.(map[string]any)
	mine, _ := desired.(map[string]any)
	if theirs == nil || mine == nil || w.duplicate {
		return
	}
	_, wanted := mine[w.field]
	for name := range theirs {
		_, ours := mine[name]
		if !ours && (name == w.field || wanted && w.siblings) {
			w.found.Insert(append(at.Copy(), fieldpath.PathElement{FieldName: &name}))
		}
	}
}

func member(value any, name string) any {
	fields, _ := value.(map[string]any)
	return fields[name]
}

// keysIn are the keys of the elements that a list is known to have.
func keysIn(known *fieldpath.Set) []fieldpath.PathElement {
	var keys []fieldpath.PathElement
	seen := fieldpath.NewSet()
	known.Iterate(func(p fieldpath.Path) {
		if len(p) > 0 && p[0].Key != nil && !seen.Has(p[:1]) {
			seen.Insert(p[:1])
			keys = append(keys, p[0])
		}
	})
	return keys
}

// find is the element of a list that has the key; nil if there is none. A key field that the element leaves out, as a
// manifest leaves out a port's protocol, does not tell elements apart.
func find(list any, key fieldpath.PathElement) any {
	elements, _ := list.([]any)
	for _, element := range elements {
		fields, _ := element.(map[string]any)
		same := fields != nil
		for _, k := range *key.Key {
			value, set := fields[k.Name]
			same = same && (!set || fmt.Sprint(value) == fmt.Sprint(k.Value.Unstructured()))
		}
		if same {
			return element
		}
	}
	return nil
}

// claim makes fields ours that nobody else applies; nil when that changes nothing.
func claim(entries []metav1.ManagedFieldsEntry, manager string, wanted *fieldpath.Set) ([]metav1.ManagedFieldsEntry, error) {
	others, err := setOf(slices.DeleteFunc(slices.Clone(entries), func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == manager || updated(e)
	})...)
	if err != nil {
		return nil, err
	}
	mine := func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == manager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
	}
	if wanted = wanted.Difference(others); wanted.Empty() || !slices.ContainsFunc(entries, mine) {
		return nil, nil
	}
	var after []metav1.ManagedFieldsEntry
	for _, e := range entries {
		set, err := setOf(e)
		if err != nil {
			return nil, err
		}
		switch {
		case mine(e):
			set = set.Union(wanted)
		case updated(e):
			set = set.RecursiveDifference(wanted)
		}
		if e.FieldsV1, err = fieldsOf(set); err != nil {
			return nil, err
		}
		if !set.Empty() {
			after = append(after, e)
		}
	}
	return after, nil
}

// updated says that fields were set by ordinary writes, not by an apply, which would set them again, nor by way of a
// subresource, such as an autoscaler's.
func updated(e metav1.ManagedFieldsEntry) bool {
	return e.Operation == metav1.ManagedFieldsOperationUpdate && e.Subresource == ""
}

func fieldsOf(set *fieldpath.Set) (*metav1.FieldsV1, error) {
	raw, err := set.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("encode fields: %w", err)
	}
	fields := &metav1.FieldsV1{}
	fields.SetRawBytes(raw)
	return fields, nil
}

// setOf are the fields of all entries together.
func setOf(entries ...metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	all := fieldpath.NewSet()
	for _, e := range entries {
		if e.FieldsV1 == nil {
			continue
		}
		one := fieldpath.NewSet()
		if err := one.FromJSON(bytes.NewReader(e.FieldsV1.GetRawBytes())); err != nil {
			return nil, fmt.Errorf("read fields of %s: %w", e.Manager, err)
		}
		all = all.Union(one)
	}
	return all, nil
}
