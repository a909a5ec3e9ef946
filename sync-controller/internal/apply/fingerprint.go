package apply

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/sync-controller/internal/inventory"
)

// macBytes is how much of a MAC is kept: 128 bits, which is ample for "is it the same?".
const macBytes = 16

// Fingerprint tells from an object's metadata alone whether the latest apply of the field manager still stands whole: it
// is a keyed hash over the object's UID and the manager's Apply entry in managedFields (fields, version and time).
//
// That is enough, because the API server takes a field away from our entry as soon as anybody else changes or removes its
// value, through whatever endpoint (kubectl scale included), and stamps our entry whenever an apply of ours changes
// anything. It says nothing about fields that others added: server-side apply leaves those alone too.
//
// It is empty when the manager has no Apply entry: nothing can be known then. The key keeps readers of a store from
// testing guesses. Equal fingerprints under the same key mean unchanged.
func Fingerprint(key []byte, manager string, live *metav1.PartialObjectMetadata) string {
	if live == nil {
		return ""
	}
	entry := AppliedFields(live.ManagedFields, manager)
	if entry == nil {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	stamp := ""
	if entry.Time != nil {
		stamp = entry.Time.UTC().Format(time.RFC3339)
	}
	_, _ = fmt.Fprintf(mac, "fingerprint/1\n%q %q %q %q\n", live.UID, manager, entry.APIVersion, stamp)
	_, _ = mac.Write(canonical(entry.FieldsV1))
	return hex.EncodeToString(mac.Sum(nil)[:macBytes])
}

// canonical returns the fields in one order. The API server, and whoever decodes into a map and encodes again, order the
// same fields differently.
func canonical(fields *metav1.FieldsV1) []byte {
	if fields == nil {
		return nil
	}
	raw := fields.GetRawBytes()
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return raw
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return raw
	}
	return text
}

// AppliedFields returns the entry that says what the manager applied; nil without one.
func AppliedFields(entries []metav1.ManagedFieldsEntry, manager string) *metav1.ManagedFieldsEntry {
	for i, e := range entries {
		if e.Manager == manager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == "" {
			return &entries[i]
		}
	}
	return nil
}

// ContentMACs returns, per object of the set, a keyed hash of what is applied: remember it next to the fingerprint. An
// object is known to be unchanged when both are as remembered.
func (s Set) ContentMACs(key []byte) (map[inventory.ID]string, error) {
	macs := make(map[inventory.ID]string, len(s.items))
	for _, it := range s.items {
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte("content/1\n"))
		if err := json.NewEncoder(mac).Encode(it.desired.Object); err != nil {
			return nil, fmt.Errorf("encode %s: %w", inventory.Describe(it.entry.ID), err)
		}
		macs[it.entry.ID] = hex.EncodeToString(mac.Sum(nil)[:macBytes])
	}
	return macs, nil
}
