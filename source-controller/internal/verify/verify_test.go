package verify_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify"
)

type secret = map[string][]byte

var content = []byte("tree 0123\n\nwhat was signed\n")

// ago are keys and signatures of another time.
func ago(d time.Duration) func(*packet.Config) {
	return func(c *packet.Config) { c.Time = func() time.Time { return time.Now().Add(-d) } }
}

func TestVerify(t *testing.T) {
	t.Parallel()
	ada, eve := gittest.NewPGP(t, nil), gittest.NewPGP(t, nil)
	adaSSH, eveSSH := gittest.NewSSHKey(t), gittest.NewSSHKey(t)
	rsaKey := rsaSSH(t)
	both := append(eve.Public(), ada.Public()...)
	for name, tc := range map[string]struct {
		reason string
		keys   secret
		sign   gittest.Sign
		want   string
	}{
		"PGP":               {"the usual key", secret{"ada.asc": ada.Public()}, ada.Sign, hexOf(ada)},
		"PGP, other suffix": {"as Flux has it, whatever is not for SSH", secret{"ada.pub": ada.Public()}, ada.Sign, hexOf(ada)},
		"PGP, second block": {"several exports in one file", secret{"all.asc": both}, ada.Sign, hexOf(ada)},
		"PGP, second entry": {"several files", secret{"a.asc": eve.Public(), "b.asc": ada.Public()}, ada.Sign, hexOf(ada)},
		"PGP, broken entry": {"as in Flux, the others count", secret{"a.asc": []byte("nonsense"), "b.asc": ada.Public()}, ada.Sign, hexOf(ada)},
		"PGP, binary":       {"as gpg --export writes it", secret{"ada.gpg": binaryOf(t, ada)}, ada.Sign, hexOf(ada)},
		"SSH": {
			"comments and empty lines are none",
			secret{"a.sshpub": append([]byte("# team\n\n"), adaSSH.Public()...)}, adaSSH.Sign, ssh.FingerprintSHA256(adaSSH.PublicKey()),
		},
		"SSH, second line":  {"a line a key", secret{"a.sshpub": append(eveSSH.Public(), adaSSH.Public()...)}, adaSSH.Sign, ssh.FingerprintSHA256(adaSSH.PublicKey())},
		"SSH, RSA":          {"over SHA-2", secret{"a.sshpub": rsaKey.Public()}, rsaKey.Sign, ssh.FingerprintSHA256(rsaKey.PublicKey())},
		"SSH, both kinds":   {"told from the signature", secret{"a.sshpub": adaSSH.Public(), "a.asc": ada.Public()}, adaSSH.Sign, ssh.FingerprintSHA256(adaSSH.PublicKey())},
		"SSH, not over yet": {"an option of the line", secret{"a.sshpub": append([]byte(`expiry-time="20991231" `), adaSSH.Public()...)}, adaSSH.Sign, ssh.FingerprintSHA256(adaSSH.PublicKey())},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := verify.Parse(tc.keys)
			if err != nil {
				t.Fatalf("%v: %s", err, tc.reason)
			}
			signature := tc.sign(content)
			if got, err := keys.Verify(signature, content, time.Now()); err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q: %s", got, err, tc.want, tc.reason)
			}
			for i := range content {
				tampered := bytes.Clone(content)
				tampered[i] ^= 1
				if _, err := keys.Verify(signature, tampered, time.Now()); err == nil || !strings.Contains(err.Error(), "does not fit the content") {
					t.Fatalf("byte %d is changed: %v", i, err)
				}
			}
		})
	}
}

func hexOf(key *gittest.PGPKey) string {
	return strings.ToUpper(hex.EncodeToString(key.PrimaryKey.Fingerprint))
}

func binaryOf(t *testing.T, key *gittest.PGPKey) []byte {
	var out bytes.Buffer
	if err := key.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestS29VerificationFailsClosed: whatever is wrong with a signature or a key, it does not count.
func TestS29VerificationFailsClosed(t *testing.T) {
	t.Parallel()
	ada, eve := gittest.NewPGP(t, nil), gittest.NewPGP(t, nil)
	adaSSH, eveSSH := gittest.NewSSHKey(t), gittest.NewSSHKey(t)
	revoked := gittest.NewPGP(t, ago(24*time.Hour))
	beforeRevoked := revoked.SignWith(&packet.Config{Time: func() time.Time { return time.Now().Add(-12 * time.Hour) }})(content)
	revoked.Revoke()
	expired := gittest.NewPGP(t, func(c *packet.Config) { ago(48 * time.Hour)(c); c.KeyLifetimeSecs = 3600 })
	whileGood := expired.SignWith(&packet.Config{Time: func() time.Time { return time.Now().Add(-48*time.Hour + time.Minute) }})(content)
	small := gittest.NewPGP(t, func(c *packet.Config) { c.Algorithm, c.RSABits = packet.PubKeyAlgoRSA, 1024 })
	old := gittest.NewPGP(t, ago(48*time.Hour))
	text, rsaKey := textSignature(t, ada), rsaSSH(t)
	line := strings.TrimSpace(string(adaSSH.Public()))
	trusted := secret{"ada.asc": ada.Public(), "ada.sshpub": adaSSH.Public()}
	for name, tc := range map[string]struct {
		reason, signature string
		keys              secret
		want              string
	}{
		"unknown PGP key":   {"nobody knows it", eve.Sign(content), trusted, "add its public key as *.asc"},
		"unknown SSH key":   {"nobody knows it", eveSSH.Sign(content), trusted, "add its public key as *.sshpub"},
		"no PGP keys":       {"the kind is said", ada.Sign(content), secret{"a.sshpub": adaSSH.Public()}, "no public key of that kind; add it as *.asc"},
		"no SSH keys":       {"the kind is said", adaSSH.Sign(content), secret{"a.asc": ada.Public()}, "no public key of that kind; add it as *.sshpub"},
		"broken entry":      {"it may be the one that is missing", eve.Sign(content), secret{"a.asc": ada.Public(), "eve.asc": []byte("x")}, "not usable: eve.asc: it is no public key"},
		"other content":     {"tampered with", ada.Sign([]byte("other")), trusted, "was changed after"},
		"other content SSH": {"tampered with", adaSSH.Sign([]byte("other")), trusted, "was changed after"},
		"revoked":           {"even for what it signed before", beforeRevoked, secret{"a.asc": revoked.Public()}, "is revoked"},
		"expired":           {"even for what it signed before, as in Flux", whileGood, secret{"a.asc": expired.Public()}, "has expired; extend it"},
		"expired line":      {"the line says so", adaSSH.Sign(content), secret{"a.sshpub": []byte(`expiry-time="20200101" ` + line)}, "has expired"},
		"signature over": {"it has an end of its own", old.SignWith(&packet.Config{
			Time: func() time.Time { return time.Now().Add(-24 * time.Hour) }, SigLifetimeSecs: 60,
		})(content), secret{"a.asc": old.Public()}, "has expired, or is of a time to come"},
		"signature to come": {"no clock is that wrong", ada.SignWith(&packet.Config{
			Time: func() time.Time { return time.Now().Add(24 * time.Hour) },
		})(content), trusted, "of a time to come"},
		"weak hash": {"SHA-1 can be forged", weakSignature(t, ada), trusted, "weak hash"},
		"weak key":  {"so can 1024 bits", small.Sign(content), secret{"a.asc": small.Public()}, "less than 2048 bits"},
		"text mode": {"it fits other line ends too", text, trusted, "text mode"},
		"for files": {"the key signed something else", adaSSH.SignFor("file")(content), trusted, "another purpose than git's"},
		"RSA over SHA-1": {"the format has no other mark of it", weakSSH(t, rsaKey, "ssh-rsa"),
			secret{"a.sshpub": rsaKey.Public()}, "cannot be read"},
		"nothing":             {"as before", "", trusted, "neither one of PGP nor one of SSH"},
		"X.509":               {"not served", "-----BEGIN SIGNED MESSAGE-----\nx\n-----END SIGNED MESSAGE-----", trusted, "neither one of PGP nor one of SSH"},
		"cut off":             {"not whole", strings.TrimSuffix(strings.TrimSpace(ada.Sign(content)), "-----END PGP SIGNATURE-----"), trusted, "not one whole block"},
		"cut off SSH":         {"not whole", adaSSH.Sign(content)[:100], trusted, "not one whole block"},
		"two blocks":          {"which of them counts?", eve.Sign(content) + ada.Sign(content), trusted, "not one whole block"},
		"two in one block":    {"which of them counts?", twoInOne(t, eve, ada), trusted, "more than one signature"},
		"something behind it": {"nobody signed that", ada.Sign(content) + "more", trusted, "not one whole block"},
		"nonsense":            {"no signature", "-----BEGIN PGP SIGNATURE-----\n\n!!!\n-----END PGP SIGNATURE-----", trusted, "cannot be read"},
		"nonsense SSH":        {"no signature", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----", trusted, "damaged"},
		"endless":             {"bounded", "-----BEGIN PGP SIGNATURE-----\n" + strings.Repeat("A", 1<<20) + "\n-----END PGP SIGNATURE-----", trusted, "more than 65536 bytes"},
		"endless SSH":         {"bounded", "-----BEGIN SSH SIGNATURE-----\n" + strings.Repeat("A", 1<<20) + "\n-----END SSH SIGNATURE-----", trusted, "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := verify.Parse(tc.keys)
			if err != nil {
				t.Fatal(err)
			}
			key, err := keys.Verify(tc.signature, content, time.Now())
			if err == nil || !strings.Contains(err.Error(), tc.want) || key != "" {
				t.Errorf("got %q, %v, want %q: %s", key, err, tc.want, tc.reason)
			}
		})
	}
}

// TestS29ManyBadSignatures holds that it takes no time to speak of to refuse a thousand of them.
func TestS29ManyBadSignatures(t *testing.T) {
	t.Parallel()
	ada, eve := gittest.NewPGP(t, nil), gittest.NewPGP(t, nil)
	keys, err := verify.Parse(secret{"ada.asc": ada.Public()})
	if err != nil {
		t.Fatal(err)
	}
	signatures := []string{eve.Sign(content), ada.Sign([]byte("other"))}
	started := time.Now()
	for i := range 1000 {
		if _, err := keys.Verify(signatures[i%2], content, time.Now()); err == nil {
			t.Fatal("a bad signature counts")
		}
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	ada := gittest.NewPGP(t, nil)
	var private bytes.Buffer
	w, err := armor.Encode(&private, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ada.SerializePrivate(w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		keys secret
		want string
	}{
		"nothing":        {nil, "it is empty"},
		"empty PGP":      {secret{"a.asc": nil}, "a.asc: it is no public key"},
		"empty SSH":      {secret{"a.sshpub": nil}, "a.sshpub: it holds no public key"},
		"comments":       {secret{"a.sshpub": []byte("# nobody\n")}, "holds no public key"},
		"not SSH":        {secret{"a.sshpub": []byte("# x\ncanary canary\n")}, "line 2 is no public key"},
		"PGP as SSH":     {secret{"a.sshpub": ada.Public()}, "line 1 is no public key"},
		"private":        {secret{"a.asc": private.Bytes()}, "something else than public keys"},
		"cut off":        {secret{"a.asc": ada.Public()[:200]}, "a.asc: a block of it"},
		"authority":      {secret{"a.sshpub": append([]byte("cert-authority "), gittest.NewSSHKey(t).Public()...)}, "cert-authority is not served"},
		"no time":        {secret{"a.sshpub": append([]byte(`expiry-time="soon" `), gittest.NewSSHKey(t).Public()...)}, "expiry-time is no time"},
		"all of them":    {secret{"a.asc": []byte("canary"), "b.sshpub": []byte("canary")}, "a.asc: it is no public key of PGP, as gpg --armor --export writes it; b.sshpub"},
		"a signature":    {secret{"a.asc": []byte(ada.Sign(content))}, "something else than public keys"},
		"a keyring of 0": {secret{"a.asc": []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n")}, "a.asc: it holds no public key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify.Parse(tc.keys)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// textSignature is a signature that fits other line ends as well.
func textSignature(t *testing.T, key *gittest.PGPKey) string {
	t.Helper()
	var out bytes.Buffer
	if err := openpgp.ArmoredDetachSignText(&out, key.Entity, bytes.NewReader(content), nil); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// weakSignature is a signature that says that it is over SHA-1.
func weakSignature(t *testing.T, key *gittest.PGPKey) string {
	t.Helper()
	block, err := armor.Decode(strings.NewReader(key.Sign(content)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(block.Body)
	if err != nil || raw[0] != 0xc2 || raw[1] >= 192 {
		t.Fatalf("a signature of another form: %v, %x", err, raw)
	}
	const version, sha1 = 2, 2
	raw[version+3] = sha1
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.SignatureType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func armored(t *testing.T, all ...*packet.Signature) string {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.SignatureType, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range all {
		if err := made.Serialize(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func twoInOne(t *testing.T, keys ...*gittest.PGPKey) string {
	t.Helper()
	var all []*packet.Signature
	for _, key := range keys {
		block, err := armor.Decode(strings.NewReader(key.Sign(content)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := packet.Read(block.Body)
		made, ok := p.(*packet.Signature)
		if err != nil || !ok {
			t.Fatal(err)
		}
		all = append(all, made)
	}
	return armored(t, all...)
}

// weakSSH makes a signature with an algorithm that the format does not allow.
func weakSSH(t *testing.T, key *gittest.SSHKey, algorithm string) string {
	t.Helper()
	signer, ok := key.Signer.(ssh.AlgorithmSigner)
	if !ok {
		t.Fatal("the key signs in one way only")
	}
	made, err := sshsig.Sign(bytes.NewReader(content), weak{signer, algorithm}, sshsig.HashSHA512, "git")
	if err != nil {
		t.Fatal(err)
	}
	return string(sshsig.Armor(made))
}

// weak signs with one algorithm, whatever it is asked for.
type weak struct {
	ssh.AlgorithmSigner

	algorithm string
}

func (w weak) SignWithAlgorithm(random io.Reader, data []byte, _ string) (*ssh.Signature, error) {
	return w.AlgorithmSigner.SignWithAlgorithm(random, data, w.algorithm)
}

func rsaSSH(t *testing.T) *gittest.SSHKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return gittest.SSHOf(t, key)
}
