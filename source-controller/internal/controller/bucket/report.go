package bucket

import (
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// note writes into the status what its artifact was made with.
func note(obj *sourcev1.Bucket) {
	obj.Status.ObservedIgnore = obj.Spec.Ignore
}
