package ocirepository

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// note writes into the status what its artifact was made with.
func note(obj *sourcev1.OCIRepository) {
	obj.Status.ObservedIgnore = obj.Spec.Ignore
	obj.Status.ObservedLayerSelector = obj.Spec.LayerSelector
}

// The annotations that say what an artifact was built from, as flux push artifact sets them.
const (
	originSource   = "org.opencontainers.image.source"
	originRevision = "org.opencontainers.image.revision"
)

// change is what is said about a new artifact, as Flux does: with what it was built from, if its author says so.
func change(obj *sourcev1.OCIRepository, a *meta.Artifact) report.Change {
	message := fmt.Sprintf("stored artifact with revision '%s' from '%s'", a.Revision, redact.URL(obj.Spec.URL))
	source, revision := line(a.Metadata[originSource]), line(a.Metadata[originRevision])
	if source != "" && revision != "" {
		message += fmt.Sprintf(", origin source '%s', origin revision '%s'", source, revision)
	}
	return report.Change{Message: message}
}

// line is an annotation if it is one line of a reasonable length, without a password; nothing otherwise.
func line(value string) string {
	const limit = 512
	if len(value) > limit || strings.ContainsFunc(value, unicode.IsControl) {
		return ""
	}
	return redact.URL(value)
}
