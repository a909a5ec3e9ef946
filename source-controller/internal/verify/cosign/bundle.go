package cosign

import (
	"strings"

	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// bundleType begins the media types of Sigstore's bundles, of which cosign 3 writes one per signature.
const bundleType = "application/vnd.dev.sigstore.bundle"

// bundled is the signature in a bundle. Attestations are such bundles too: a statement about the artifact by somebody who is
// trusted counts as a signature of it, as in Flux and in cosign.
func bundled(data []byte, of digest) signature {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return signature{flaw: unreadable()}
	}
	// A statement names the artifact with what is claimed about it. A bare signature of a manifest's bytes is no form of cosign.
	if _, err := b.Envelope(); err != nil {
		return signature{flaw: unreadable()}
	}
	return signature{entity: &b, digest: of}
}

func isBundle(mediaType string) bool { return strings.HasPrefix(mediaType, bundleType) }

// isOther reports whether what refers to an artifact says that it is no bundle, such as a bill of materials. Registries that
// know nothing of that field say nothing, or repeat the type of the referrer's configuration, which of a bundle is empty.
func isOther(artifactType string) bool {
	switch artifactType {
	case "", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json":
		return false
	}
	return !isBundle(artifactType)
}
