package story

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
)

// signer is somebody who signs commits, and may fetch over SSH.
type signer struct {
	pgp *openpgp.Entity
	ssh ssh.Signer
}

// person makes keys for somebody: <name>.asc and <name>.sshpub to know their signatures by, and <name>.identity, their key for
// Git over SSH, with known_hosts beside it: person ada
func (s *Session) person(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: person name")
	}
	name := args[0]
	entity, err := openpgp.NewEntity(name, "", name+"@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	ts.Check(err)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	key, err := ssh.NewSignerFromKey(private)
	ts.Check(err)
	identity, err := ssh.MarshalPrivateKey(crypto.PrivateKey(private), name)
	ts.Check(err)
	public, err := armored(openpgp.PublicKeyType, func(w *bytes.Buffer) error { return entity.Serialize(w) })
	ts.Check(err)
	for file, content := range map[string][]byte{
		name + ".asc": public, name + ".sshpub": ssh.MarshalAuthorizedKey(key.PublicKey()),
		name + ".identity": pem.EncodeToMemory(identity), "known_hosts": []byte(s.World.SSH.KnownHosts() + "\n"),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(file), content, 0o600))
	}
	s.World.SSH.Allow(key.PublicKey())
	sceneOf(ts).signers[name] = signer{entity, key}
}

// armored is an OpenPGP block as text.
func armored(kind string, write func(*bytes.Buffer) error) ([]byte, error) {
	var raw, text bytes.Buffer
	if err := write(&raw); err != nil {
		return nil, err
	}
	block, err := armor.Encode(&text, kind, nil)
	if err != nil {
		return nil, err
	}
	if _, err := block.Write(raw.Bytes()); err != nil {
		return nil, err
	}
	if err := block.Close(); err != nil {
		return nil, err
	}
	return append(text.Bytes(), '\n'), nil
}

// sign signs the latest commit of a folder and pushes it in its place; it sets $COMMIT: sign apps ada pgp
func sign(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 || neg {
		ts.Fatalf("usage: sign folder person pgp|ssh")
	}
	who, known := sceneOf(ts).signers[args[1]]
	if !known {
		ts.Fatalf("%s is nobody: use person first", args[1])
	}
	folder := ts.MkAbs(args[0])
	run(ts, false, "git", "-C", folder, "cat-file", "commit", "HEAD")
	commit := ts.ReadFile("stdout")
	signature, err := who.sign([]byte(commit), args[2])
	ts.Check(err)
	headers, message, _ := strings.Cut(commit, "\n\n")
	signed := headers + "\ngpgsig " + strings.ReplaceAll(strings.TrimSpace(signature), "\n", "\n ") + "\n\n" + message
	object := filepath.Join(ts.Getenv("WORK"), ".signed-commit")
	ts.Check(os.WriteFile(object, []byte(signed), 0o600))
	run(ts, false, "git", "-C", folder, "hash-object", "-t", "commit", "-w", object)
	id := strings.TrimSpace(ts.ReadFile("stdout"))
	run(ts, false, "git", "-C", folder, "update-ref", "HEAD", id)
	run(ts, false, "git", "-C", folder, "push", "--quiet", "--force", "origin", "HEAD:main")
	ts.Setenv("COMMIT", id)
}

func (s signer) sign(content []byte, how string) (string, error) {
	switch how {
	case "pgp":
		var text bytes.Buffer
		err := openpgp.ArmoredDetachSign(&text, s.pgp, bytes.NewReader(content), nil)
		return text.String(), err
	case "ssh":
		return s.sshSignature(content)
	default:
		return "", fmt.Errorf("no signatures of kind %s: pgp or ssh", how)
	}
}

// sshSignature is one in the format of OpenSSH's PROTOCOL.sshsig, in git's namespace.
func (s signer) sshSignature(content []byte) (string, error) {
	const magic, namespace, hash = "SSHSIG", "git", "sha512"
	sum := sha512.Sum512(content)
	signed := append([]byte(magic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{namespace, "", hash, string(sum[:])})...)
	signature, err := s.ssh.Sign(rand.Reader, signed)
	if err != nil {
		return "", err
	}
	blob := append([]byte(magic), ssh.Marshal(struct {
		Version                                      uint32
		Key, Namespace, Reserved, Hash, SignatureAll string
	}{1, string(s.ssh.PublicKey().Marshal()), namespace, "", hash, string(ssh.Marshal(signature))})...)
	text := base64.StdEncoding.EncodeToString(blob)
	var lines strings.Builder
	for len(text) > 70 {
		lines.WriteString(text[:70] + "\n")
		text = text[70:]
	}
	return "-----BEGIN SSH SIGNATURE-----\n" + lines.String() + text + "\n-----END SSH SIGNATURE-----\n", nil
}
