package gitrepository

import (
	"context"
	"errors"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/git"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify"
)

// keys reads the public keys that a signature counts by; none if no signature is asked for.
func (r *Reconciler) keys(ctx context.Context, obj *sourcev1.GitRepository) (verify.Keys, *plan.Problem) {
	v := obj.Spec.Verification
	if v == nil {
		return verify.Keys{}, nil
	}
	data, problem := r.Secrets.Data(ctx, obj.Namespace, v.SecretRef.Name, "spec.verify.secretRef")
	if problem != nil {
		return verify.Keys{}, plan.VerificationProblem(plan.ReasonVerificationError, "%s", problem.Message)
	}
	keys, err := verify.Parse(data)
	if err != nil {
		return keys, plan.VerificationProblem(plan.ReasonVerificationError,
			"Secret %s/%s of spec.verify.secretRef cannot be used: %v", obj.Namespace, v.SecretRef.Name, err)
	}
	return keys, nil
}

// verify checks the signatures that an object asks for, of what was fetched; nobody's if it asks for none. An error that is no
// problem is the clone's.
func (r *Reconciler) verify(obj *sourcev1.GitRepository, keys verify.Keys, clone *git.Clone, target plan.Target) (*plan.Verified, error) {
	v := obj.Spec.Verification
	if v == nil {
		return nil, nil
	}
	var tag, tagKey, commitKey string
	var err error
	if v.VerifyTag() {
		tag = plan.TagOf(target)
		if tagKey, err = r.verifyTag(obj, keys, clone, target); err != nil {
			return nil, err
		}
	}
	if v.VerifyHEAD() {
		if commitKey, err = r.verifyCommit(obj, keys, clone, target); err != nil {
			return nil, err
		}
	}
	return plan.VerifiedBy(tag, tagKey, target.Commit, commitKey), nil
}

func (r *Reconciler) verifyTag(obj *sourcev1.GitRepository, keys verify.Keys, clone *git.Clone, target plan.Target) (string, error) {
	tag := plan.TagOf(target)
	if target.Object == target.Commit {
		return "", plan.VerificationProblem(plan.ReasonInvalidGitObject,
			"cannot verify signature of tag '%s': it is a lightweight tag, which holds none; make it anew (git tag -s), or change spec.verify.mode", tag)
	}
	signed, err := clone.SignedTag(target.Object, target.Ref, target.Commit)
	if err == nil && signed.Signature == "" {
		return "", plan.VerificationProblem(plan.ReasonInvalidGitObject,
			"cannot verify signature of tag '%s' since it is not signed; make it anew (git tag -s), or change spec.verify.mode", tag)
	}
	return r.check(obj, keys, signed, err, plan.ReasonInvalidTagSignature, "tag '"+tag+"'")
}

func (r *Reconciler) verifyCommit(obj *sourcev1.GitRepository, keys verify.Keys, clone *git.Clone, target plan.Target) (string, error) {
	what := "commit '" + target.Commit + "'"
	signed, err := clone.SignedCommit(target.Commit)
	if err == nil && signed.Signature == "" {
		return "", plan.VerificationProblem(plan.ReasonInvalidCommitSignature,
			"signature verification of %s failed: it is not signed; sign it (git commit -S), or change spec.verify", what)
	}
	return r.check(obj, keys, signed, err, plan.ReasonInvalidCommitSignature, what)
}

// check checks one signature, and returns whose it is.
func (r *Reconciler) check(
	obj *sourcev1.GitRepository, keys verify.Keys, signed git.Signed, err error, reason, what string,
) (key string, _ error) {
	if err != nil && !errors.Is(err, git.ErrAmbiguous) {
		return "", fmt.Errorf("read what is signed: %w", err)
	}
	if err == nil {
		key, err = keys.Verify(signed.Signature, signed.Content, r.Clock())
	}
	if err != nil {
		return "", plan.VerificationProblem(reason, "signature verification of %s failed: %v (the keys are those of Secret %s/%s)",
			what, err, obj.Namespace, obj.Spec.Verification.SecretRef.Name)
	}
	return key, nil
}
