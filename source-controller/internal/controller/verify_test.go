package controller_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
)

// keysFor creates the Secret of an object's keys.
func keysFor(t *testing.T, obj *sourcev1.GitRepository, name string, data map[string][]byte) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: obj.Namespace, Name: name}, Data: data}
	if err := shared.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

// verified asks for signatures by the keys in a Secret.
func verified(mode sourcev1.GitVerificationMode, secret string) *sourcev1.GitRepositoryVerification {
	return &sourcev1.GitRepositoryVerification{Mode: mode, SecretRef: meta.LocalObjectReference{Name: secret}}
}

// TestSignedCommits: what is signed is stored; what is not leaves the last good artifact alone, whatever is asked for.
func TestSignedCommits(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	ada, ssh := gittest.NewPGP(t, nil), gittest.NewSSHKey(t)
	first := repo.SignedCommit("by PGP", map[string]string{"a": "1"}, ada.Sign)
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) { o.Spec.Verification = verified("head", "keys") })
	until(t, obj, func() error {
		return hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionFalse, "VerificationError", "Secret "+obj.Namespace+"/keys of spec.verify.secretRef does not exist")
	})
	if obj.Status.Artifact != nil {
		t.Fatal("it is stored without keys")
	}
	keysFor(t, obj, "keys", map[string][]byte{"ada.asc": ada.Public(), "ada.sshpub": ssh.Public()})
	until(t, obj, at(obj, "main@sha1:"+first))
	key := "verified signature of\n\t- commit '" + first + "' with key '"
	if err := hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, key); err != nil {
		t.Error(err)
	}
	if mode := obj.Status.SourceVerificationMode; mode == nil || *mode != sourcev1.ModeGitHEAD {
		t.Errorf("sourceVerificationMode is %v", mode)
	}
	request(t, obj) // a poll that finds nothing keeps what it says
	if err := hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, key); err != nil {
		t.Error(err)
	}

	second := repo.GitSignedCommit("by SSH", map[string]string{"b": "2"}, ssh)
	request(t, obj)
	until(t, obj, at(obj, "main@sha1:"+second))
	if err := hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, "commit '"+second+"' with key 'SHA256:"); err != nil {
		t.Error(err)
	}

	for name, tc := range map[string]struct {
		reason string
		commit func() string
		want   string
	}{
		"unsigned": {"nobody signed it", func() string { return repo.Commit("unsigned", map[string]string{"evil": "1"}) }, "is not signed; sign it (git commit -S)"},
		"by somebody else": {"nobody trusts him", func() string {
			return repo.SignedCommit("eve's", map[string]string{"evil": "2"}, gittest.NewPGP(t, nil).Sign)
		}, "the key is not trusted: PGP key"},
		"tampered with": {"the signature is of another content", func() string {
			return repo.SignedCommit("tampered", map[string]string{"evil": "3"}, func([]byte) string { return ada.Sign([]byte("good")) })
		}, "it was changed after PGP key"},
		"read in two ways": {"a signature covers one of them", func() string {
			raw := gittest.SignCommit(repo.RawCommit("two", map[string]string{"evil": "4"}), ada.Sign)
			commit := repo.Object("commit", strings.Replace(raw, "\nauthor", "\ntree "+repo.Git("rev-parse", "HEAD^{tree}")+"\nauthor", 1))
			repo.Push(commit + ":refs/heads/main")
			return commit
		}, `it has the header "tree" 2 times`},
	} {
		commit := tc.commit()
		request(t, obj)
		err := hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionFalse, "InvalidCommitSignature", tc.want)
		if err == nil {
			err = hasCondition(obj, meta.ReadyCondition, metav1.ConditionFalse, "InvalidCommitSignature", "signature verification of commit '"+commit+"' failed")
		}
		if err != nil || !obj.Status.Artifact.HasRevision("main@sha1:"+second) {
			t.Errorf("%s (%s): %v, at %s", name, tc.reason, err, obj.Status.Artifact.Revision)
		}
		get(t, strings.Replace(obj.Status.Artifact.URL, second, commit, 1), 404)
		if got := names(download(t, obj.Status.Artifact)); got != "a b" {
			t.Errorf("%s: the last good artifact has %s", name, got)
		}
	}
	third := repo.SignedCommit("good again", map[string]string{"c": "3"}, ada.Sign)
	request(t, obj)
	until(t, obj, at(obj, "main@sha1:"+third))
}

// TestSignatureRulesApplyToWhatIsStored: what is asked for now holds for the commit of before, too.
func TestSignatureRulesApplyToWhatIsStored(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	ada, eve := gittest.NewPGP(t, nil), gittest.NewPGP(t, nil)
	commit := repo.SignedCommit("by Ada", map[string]string{"a": "1"}, ada.Sign)
	obj := create(t, repo.URL, nil)
	until(t, obj, at(obj, "main@sha1:"+commit))
	keysFor(t, obj, "ada", map[string][]byte{"ada.asc": ada.Public()})
	keysFor(t, obj, "eve", map[string][]byte{"eve.asc": eve.Public()})
	artifact := obj.Status.Artifact.DeepCopy()
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Verification = verified("HEAD", "ada") })
	until(t, obj, func() error {
		return hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, commit)
	})
	if got := obj.Status.Artifact; got.Digest != artifact.Digest || !got.LastUpdateTime.Equal(&artifact.LastUpdateTime) {
		t.Errorf("the artifact is another one: %+v, was %+v", got, artifact)
	}
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Verification.SecretRef.Name = "eve" })
	until(t, obj, func() error {
		return hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionFalse, "InvalidCommitSignature", "Secret "+obj.Namespace+"/eve")
	})
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Verification.SecretRef.Name, s.Verification.Mode = "ada", "Tag" })
	until(t, obj, func() error {
		return hasCondition(obj, meta.StalledCondition, metav1.ConditionTrue, "InvalidVerificationMode", "spec.ref.tag")
	})
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Verification = nil })
	until(t, obj, at(obj, "main@sha1:"+commit))
	left := apimeta.FindStatusCondition(obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if left != nil || obj.Status.SourceVerificationMode != nil {
		t.Errorf("it still says %+v, %v", left, obj.Status.SourceVerificationMode)
	}
}

func TestSignedTags(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Repo(t, "app")
	ada, ssh := gittest.NewPGP(t, nil), gittest.NewSSHKey(t)
	unsigned := repo.Commit("unsigned", map[string]string{"a": "1"})
	tag := repo.SignedTag("v1.0.0", unsigned, ssh.Sign)
	obj := create(t, repo.URL, func(o *sourcev1.GitRepository) {
		o.Spec.Reference = &sourcev1.GitRepositoryRef{SemVer: "1.0.x"}
		o.Spec.Verification = verified("Tag", "keys")
	})
	keysFor(t, obj, "keys", map[string][]byte{"ada.asc": ada.Public(), "ada.sshpub": ssh.Public()})
	until(t, obj, at(obj, "v1.0.0@sha1:"+unsigned))
	err := hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, "", "verified signature of\n\t- tag 'v1.0.0@"+tag+"' with key 'SHA256:")
	if err != nil || *obj.Status.SourceVerificationMode != sourcev1.ModeGitTag {
		t.Error(err, obj.Status.SourceVerificationMode)
	}
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Verification.Mode = "TagAndHEAD" })
	until(t, obj, func() error {
		return hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionFalse, "InvalidCommitSignature", "is not signed")
	})
	commit := repo.SignedCommit("signed", map[string]string{"b": "1"}, ada.Sign)
	tag = repo.SignedTag("v1.0.1", commit, ada.Sign)
	request(t, obj)
	until(t, obj, at(obj, "v1.0.1@sha1:"+commit))
	err = hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, "", "- tag 'v1.0.1@"+tag+"' with key '")
	if err == nil {
		err = hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionTrue, "", "\n\t- commit '"+commit+"' with key '")
	}
	if err != nil {
		t.Error(err)
	}
	edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Verification.Mode, s.Reference.SemVer = "Tag", "1.x" })
	for name, tc := range map[string]struct {
		make         func(version string)
		reason, want string
	}{
		"v1.1.0": {func(v string) { repo.Git("tag", v); repo.Push(v) }, "InvalidGitObject", "lightweight tag"},
		"v1.2.0": {func(v string) { repo.Git("tag", "--annotate", "--message", "x", v); repo.Push(v) }, "InvalidGitObject", "since it is not signed"},
		"v1.3.0": {func(v string) { repo.SignedTag(v, commit, gittest.NewSSHKey(t).Sign) }, "InvalidTagSignature", "the key is not trusted: SSH key"},
		"v1.4.0": {func(v string) { repo.Push(tag + ":refs/tags/" + v) }, "InvalidTagSignature", "the tag of another name"},
	} {
		tc.make(name)
		edit(t, obj, func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Tag: name} })
		until(t, obj, func() error {
			return hasCondition(obj, sourcev1.SourceVerifiedCondition, metav1.ConditionFalse, tc.reason, tc.want)
		})
		if !obj.Status.Artifact.HasRevision("v1.0.1@sha1:" + commit) {
			t.Errorf("%s: at %s", name, obj.Status.Artifact.Revision)
		}
	}
}
