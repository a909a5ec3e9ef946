// Package rendering is the format in which a rendering travels from render-controller to sync-controller: sealed.
//
// One file: a header line, then one JSON line per object, compressed with zstd, encrypted with age to the recipients that
// sync-controller publishes. Plaintext exists only in memory. Nothing that moves without content is inside: revisions,
// generations and tokens are in the Render record, so that the same content is the same file.
//
// Read it in this order: [Content] is what travels, [ComputeTag] says whether it is the same as before, [Seal] writes it
// and [Open] reads it; both stream. [GenerateIdentity], [ParseIdentities], [ParseRecipients] and [Fingerprint] are about
// the keys. Every function is safe for concurrent use as long as nobody changes what it was given.
//
// age proves nothing about the sender: accept only a file whose SHA-256 the current Render record names.
package rendering

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// Format is the version of the file format that this package writes and reads.
const Format = 1

// Limits of what is read and written. A larger rendering is refused on both sides, with the figure.
const (
	MaxObjects   = 20_000
	MaxObject    = 3 << 20   // bytes of one object's JSON: twice what the API server takes
	MaxRelease   = 32 << 20  // bytes of the release's line
	MaxPlaintext = 256 << 20 // bytes of the whole, uncompressed
)

// Tag says "same content?" without telling what it is: "hmac-sha256:<hex>" (see [ComputeTag]).
type Tag string

// Header binds a file to its subject. It is the first line.
type Header struct {
	// Format is the version of the format, see the constant of that name.
	Format int `json:"format"`
	// Subject is the UID of the Kustomization or HelmRelease.
	Subject types.UID `json:"subject"`
	// Tag of the content that follows.
	Tag Tag `json:"tag"`
	// Objects is how many lines with an object follow, a release's own line not counted.
	Objects int `json:"objects"`
}

// Object is one object to apply.
type Object struct {
	// Tainted is set when a decrypted or otherwise secret value may be anywhere inside, whatever the kind: nothing of it
	// but kind, namespace and name may be shown. A Secret is always treated as tainted.
	Tainted bool
	// Phase is empty for a plain object, or the name of the hook it belongs to.
	Phase string
	// Object is what to apply.
	Object *unstructured.Unstructured
}

// Content is everything a rendering holds.
type Content struct {
	// Release is the release as Helm's storage keeps it (the JSON of helm.sh/helm/v3/pkg/release.Release), for a
	// HelmRelease; nil otherwise. Its objects are in Objects too.
	Release json.RawMessage
	// Objects in the order they were rendered.
	Objects []Object
}
