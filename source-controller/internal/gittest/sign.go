package gittest

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Sign makes an armored signature of a content.
type Sign func(content []byte) string

// PGPKey is a key of PGP.
type PGPKey struct {
	*openpgp.Entity

	t testing.TB
}

// NewPGP makes a key; change adapts how, nil for nothing.
func NewPGP(t testing.TB, change func(*packet.Config)) *PGPKey {
	t.Helper()
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}
	if change != nil {
		change(config)
	}
	entity, err := openpgp.NewEntity("Ada", "", "ada@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	return &PGPKey{Entity: entity, t: t}
}

// Public is the public key, as gpg --armor --export writes it.
func (k *PGPKey) Public() []byte {
	k.t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	if err := k.Serialize(w); err != nil {
		k.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		k.t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// Sign makes a signature as gpg does for git.
func (k *PGPKey) Sign(content []byte) string { return k.SignWith(nil)(content) }

// SignWith makes signatures in another way.
func (k *PGPKey) SignWith(config *packet.Config) Sign {
	return func(content []byte) string {
		k.t.Helper()
		var out bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&out, k.Entity, bytes.NewReader(content), config); err != nil {
			k.t.Fatal(err)
		}
		return out.String() + "\n"
	}
}

// SSHKey is a key of SSH.
type SSHKey struct {
	ssh.Signer

	t       testing.TB
	private crypto.PrivateKey
}

// NewSSHKey makes an Ed25519 key.
func NewSSHKey(t testing.TB) *SSHKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return SSHOf(t, private)
}

// SSHOf is the key of SSH that a private key makes.
func SSHOf(t testing.TB, private crypto.PrivateKey) *SSHKey {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return &SSHKey{Signer: signer, t: t, private: private}
}

// Public is the public key, as a line of authorized_keys.
func (k *SSHKey) Public() []byte { return ssh.MarshalAuthorizedKey(k.PublicKey()) }

// Sign makes a signature as ssh-keygen does for git.
func (k *SSHKey) Sign(content []byte) string { return k.SignFor("git")(content) }

// SignFor makes signatures for another purpose.
func (k *SSHKey) SignFor(namespace string) Sign {
	return func(content []byte) string {
		k.t.Helper()
		made, err := sshsig.Sign(bytes.NewReader(content), k.Signer, sshsig.HashSHA512, namespace)
		if err != nil {
			k.t.Fatal(err)
		}
		return string(sshsig.Armor(made))
	}
}

// SignedCommit commits files with a signature, pushes the current branch, and returns the commit.
func (r *Repo) SignedCommit(subject string, files map[string]string, sign Sign) string {
	r.t.Helper()
	commit := r.Object("commit", SignCommit(r.RawCommit(subject, files), sign))
	r.Git("reset", "--quiet", "--hard", commit)
	r.Push("HEAD:refs/heads/main")
	return commit
}

// RawCommit is a commit as it is before it is signed.
func (r *Repo) RawCommit(subject string, files map[string]string) string {
	r.t.Helper()
	r.Write(files)
	r.Git("add", "--all", "--force")
	raw := "tree " + r.Git("write-tree") + "\n"
	if parent := r.Git("for-each-ref", "--format=%(objectname)", "refs/heads/main"); parent != "" {
		raw += "parent " + parent + "\n"
	}
	const who = "Ada <ada@example.com> 1767225600 +0000"
	return raw + "author " + who + "\ncommitter " + who + "\n\n" + subject + "\n"
}

// SignCommit puts a signature of a raw commit into it, where git has it.
func SignCommit(raw string, sign Sign) string {
	signature := strings.TrimSuffix(sign([]byte(raw)), "\n")
	headers, message, _ := strings.Cut(raw, "\n\n")
	return headers + "\ngpgsig " + strings.ReplaceAll(signature, "\n", "\n ") + "\n\n" + message
}

// SignedTag makes and pushes an annotated tag of a commit with a signature, and returns the tag's object.
func (r *Repo) SignedTag(name, commit string, sign Sign) string {
	r.t.Helper()
	raw := RawTag(name, commit)
	object := r.Object("tag", raw+sign([]byte(raw)))
	r.Git("update-ref", "refs/tags/"+name, object)
	r.Push("refs/tags/" + name)
	return object
}

// RawTag is a tag as it is before it is signed.
func RawTag(name, commit string) string {
	return "object " + commit + "\ntype commit\ntag " + name + "\ntagger Ada <ada@example.com> 1767225600 +0000\n\n" + name + "\n"
}

// Object stores an object in the checkout, however odd it is, and returns its hash.
func (r *Repo) Object(kind, raw string) string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "object")
	if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return r.Git("hash-object", "-t", kind, "-w", "--literally", file)
}

// GitSignedCommit is a SignedCommit by git and ssh-keygen themselves where both are on the machine, and ours otherwise.
func (r *Repo) GitSignedCommit(subject string, files map[string]string, key *SSHKey) string {
	r.t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		return r.SignedCommit(subject, files, key.Sign)
	}
	block, err := ssh.MarshalPrivateKey(key.private, "ada")
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.Write(files)
	r.Git("add", "--all", "--force")
	r.Git("-c", "gpg.format=ssh", "-c", "user.signingkey="+file, "commit", "--quiet", "--allow-empty", "--gpg-sign", "--message", subject)
	r.Push("HEAD:refs/heads/main")
	return r.Git("rev-parse", "HEAD")
}

// Revoke revokes a key.
func (k *PGPKey) Revoke() {
	k.t.Helper()
	if err := k.RevokeKey(packet.KeyCompromised, "lost", &packet.Config{Time: func() time.Time { return time.Now().Add(-time.Hour) }}); err != nil {
		k.t.Fatal(err)
	}
}
