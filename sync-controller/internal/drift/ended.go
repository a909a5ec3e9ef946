package drift

import (
	"bytes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ended says whether a Job has finished, from the names of the fields in its status, which managedFields hold. A Job that
// succeeded has a time of completion. One that failed has none, but conditions and failed pods, and no active ones; a Job that
// was suspended once and waits to try again looks the same for as long as it waits.
func ended(entries []metav1.ManagedFieldsEntry) bool {
	for _, e := range entries {
		if e.Subresource != statusSubresource || e.FieldsV1 == nil {
			continue
		}
		has := func(field string) bool { return bytes.Contains(e.FieldsV1.GetRawBytes(), []byte(`"f:`+field+`":`)) }
		if has("completionTime") || has("conditions") && has("failed") && !has("active") {
			return true
		}
	}
	return false
}
