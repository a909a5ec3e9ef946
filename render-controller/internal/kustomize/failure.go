package kustomize

import (
	"fmt"
	"strings"
)

// Failure is an error that its user can mend: which file, what is wrong, what to do.
type Failure struct {
	// PathMissing is set when the subject's own path is not in the artifact.
	PathMissing bool
	// File in the artifact, relative to its root; empty when no single file is at fault.
	File string
	// Message says what is wrong. It may repeat what the file holds, but never a decrypted or otherwise secret value.
	Message string
}

func (f *Failure) Error() string {
	if f.File == "" {
		return f.Message
	}
	return f.File + ": " + f.Message
}

func failure(file, format string, args ...any) *Failure {
	return &Failure{File: file, Message: fmt.Sprintf(format, args...)}
}

// readable takes the mount out of one of kustomize's messages: what is left are paths in the artifact.
func readable(message string) string {
	message = strings.ReplaceAll(message, mount+"/", "")
	return strings.TrimSpace(strings.ReplaceAll(message, mount, "the root of the artifact"))
}
