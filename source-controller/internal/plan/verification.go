package plan

import (
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of SourceVerified for Git, which Flux's API has no constants for.
const (
	// ReasonVerificationError: the keys cannot be used.
	ReasonVerificationError = "VerificationError"
	// ReasonInvalidVerificationMode: the mode does not fit the reference.
	ReasonInvalidVerificationMode = "InvalidVerificationMode"
	// ReasonInvalidGitObject: there is nothing whose signature could be verified.
	ReasonInvalidGitObject = "InvalidGitObject"
	// ReasonInvalidTagSignature and ReasonInvalidCommitSignature: the signature does not count.
	ReasonInvalidTagSignature    = "InvalidTagSignature"
	ReasonInvalidCommitSignature = "InvalidCommitSignature"
)

// legacyHead is how the mode HEAD was written once.
const legacyHead sourcev1.GitVerificationMode = "head"

// validateVerification says why signatures cannot be verified as a spec asks for it. Nothing set means HEAD: what cannot be
// read is never taken for "not at all".
func validateVerification(spec sourcev1.GitRepositorySpec) *Problem {
	v := spec.Verification
	if v == nil {
		return nil
	}
	if v.Mode != "" && v.Mode != legacyHead && !v.Mode.Valid() {
		return terminal(VerificationProblem(ReasonInvalidVerificationMode,
			"spec.verify.mode: %q is none of HEAD, Tag and TagAndHEAD", v.Mode))
	}
	if v.SecretRef.Name == "" {
		return terminal(VerificationProblem(ReasonVerificationError, "spec.verify.secretRef.name is empty; name the Secret with the public keys"))
	}
	if v.VerifyTag() && !asksForTag(spec.Reference) {
		return terminal(VerificationProblem(ReasonInvalidVerificationMode,
			"spec.verify.mode %s verifies the tag that spec.ref names, and it names none: set spec.ref.tag or spec.ref.semver, or spec.verify.mode HEAD",
			v.GetMode()))
	}
	return nil
}

// asksForTag reports whether what a reference leads to is a tag, by Flux's precedence.
func asksForTag(ref *sourcev1.GitRepositoryRef) bool {
	switch {
	case ref == nil, ref.Commit != "":
		return false
	case ref.Name != "":
		return strings.HasPrefix(ref.Name, tags)
	}
	return ref.Tag != "" || ref.SemVer != ""
}

// verifiedAs reports whether what is stored was verified as the spec asks for it now. Which Secret the keys were from is not in
// the status: any change of the spec verifies again.
func verifiedAs(obj *sourcev1.GitRepository) bool {
	v := obj.Spec.Verification
	if v == nil {
		return true
	}
	mode := obj.Status.SourceVerificationMode
	condition := apimeta.FindStatusCondition(obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	return mode != nil && *mode == v.GetMode() && condition != nil && condition.Status == metav1.ConditionTrue &&
		condition.ObservedGeneration == obj.Generation
}

// StillVerified is what is said of the signature of an artifact that stays; nil if none is asked for.
func StillVerified(obj *sourcev1.GitRepository) *Verified {
	condition := apimeta.FindStatusCondition(obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if obj.Spec.Verification == nil || condition == nil || condition.Status != metav1.ConditionTrue {
		return nil
	}
	return &Verified{Reason: condition.Reason, Message: condition.Message}
}

// VerifiedBy says whose signatures were found good, in Flux's words.
func VerifiedBy(tag, tagKey, commit, commitKey string) *Verified {
	text := "verified signature of"
	if tagKey != "" {
		text += "\n\t- tag '" + tag + "' with key '" + tagKey + "'"
	}
	if commitKey != "" {
		text += "\n\t- commit '" + commit + "' with key '" + commitKey + "'"
	}
	return &Verified{Reason: meta.SucceededReason, Message: text}
}

// TagOf is a target's tag as Flux writes it: its name, and the object that it is.
func TagOf(t Target) string { return strings.TrimPrefix(t.Ref, tags) + "@" + t.Object }
