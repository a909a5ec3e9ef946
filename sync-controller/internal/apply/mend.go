package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// lostVersion is how the API server says that managedFields name a version that the definition of the kind does not have.
var lostVersion = regexp.MustCompile(`request to convert CR to an invalid group/version: ([^\s"]+)`)

// maxMends is how many lost versions are mended at most, one after the other as the API server names them.
const maxMends = 5

// request is one of an object: its dry-run, or its apply.
type request func(ctx context.Context, it item) (*unstructured.Unstructured, error)

// mend makes an object appliable again whose managedFields name a version that its definition has lost: the API server
// refuses every server-side apply of it until somebody rewrites them. It makes the refused request again, and returns what that
// says in the end.
//
// After a dry-run that is the one write that a check makes. It cannot be tried before, because the dry-run is what fails; it
// touches marks of a version that nobody can use any more, and neither the object's content nor who owns it.
func (r *run) mend(ctx context.Context, s *step, refusal error, again request) (answer *unstructured.Unstructured, err error) {
	err = refusal
	for range maxMends {
		lost := lostIn(err)
		if lost == "" {
			return answer, err
		}
		live, failure := r.read(ctx, s.item)
		if failure != nil || live == nil {
			return nil, err
		}
		mended := &step{item: s.item, live: live}
		if r.patchLive(ctx, mended, "repair of managedFields failed", func(live *unstructured.Unstructured) ([]byte, error) {
			return mendPatch(live, lost, s.desired.GetAPIVersion())
		}) != nil {
			return nil, err
		}
		answer, err = again(ctx, s.item)
	}
	return answer, err
}

// lostIn is the version that a refusal says is lost, with its group; empty when it says something else.
func lostIn(refusal error) string {
	if refusal == nil {
		return ""
	}
	found := lostVersion.FindStringSubmatch(refusal.Error())
	if found == nil {
		return ""
	}
	return found[1]
}

// mendPatch lets the marks of the lost version speak about the version that is applied; nil when there are none. Two marks of
// one manager become one: the API server would keep only the last of them.
func mendPatch(live *unstructured.Unstructured, lost, applied string) ([]byte, error) {
	var mended []metav1.ManagedFieldsEntry
	found := false
	for _, e := range live.GetManagedFields() {
		if e.APIVersion == lost {
			e.APIVersion, found = applied, true
		}
		at := slices.IndexFunc(mended, func(other metav1.ManagedFieldsEntry) bool {
			return other.Manager == e.Manager && other.Operation == e.Operation && other.Subresource == e.Subresource &&
				other.APIVersion == e.APIVersion
		})
		if at < 0 {
			mended = append(mended, e)
			continue
		}
		fields, err := union(mended[at].FieldsV1, e.FieldsV1)
		if err != nil {
			return nil, err
		}
		mended[at].FieldsV1 = fields
		if mended[at].Time.Before(e.Time) {
			mended[at].Time = e.Time
		}
	}
	if !found {
		return nil, nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"managedFields": mended, "resourceVersion": live.GetResourceVersion(),
	}})
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return patch, nil
}

func union(a, b *metav1.FieldsV1) (*metav1.FieldsV1, error) {
	all := fieldpath.NewSet()
	for _, fields := range []*metav1.FieldsV1{a, b} {
		if fields == nil {
			continue
		}
		one := fieldpath.NewSet()
		if err := one.FromJSON(bytes.NewReader(fields.GetRawBytes())); err != nil {
			return nil, fmt.Errorf("read fields: %w", err)
		}
		all = all.Union(one)
	}
	raw, err := all.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("encode fields: %w", err)
	}
	merged := &metav1.FieldsV1{}
	merged.SetRawBytes(raw)
	return merged, nil
}
