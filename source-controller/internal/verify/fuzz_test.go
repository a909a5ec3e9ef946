package verify_test

import (
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify"
)

// FuzzVerify holds that no signature counts but those that a key made, whatever a repository holds.
func FuzzVerify(f *testing.F) {
	ada, ssh := gittest.NewPGP(f, nil), gittest.NewSSHKey(f)
	keys, err := verify.Parse(secret{"ada.asc": ada.Public(), "ada.sshpub": ssh.Public()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("-----BEGIN PGP SIGNATURE-----\n\niHUEABEIAB0=\n-----END PGP SIGNATURE-----")
	f.Add("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----")
	f.Fuzz(func(t *testing.T, signature string) {
		if key, err := keys.Verify(signature, content, time.Now()); err == nil || key != "" {
			t.Errorf("%q counts, by %q", signature, key)
		}
	})
}

// FuzzParse holds that whatever a Secret holds, it is keys or an error.
func FuzzParse(f *testing.F) {
	f.Add("a.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n")
	f.Add("a.sshpub", "expiry-time=\"2030\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA ada\n")
	f.Add("a.gpg", "\x98\x33\x04")
	f.Fuzz(func(t *testing.T, name, data string) {
		keys, err := verify.Parse(secret{name: []byte(data)})
		if err == nil {
			_, err = keys.Verify("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----", content, time.Now())
		}
		if err == nil {
			t.Errorf("%q: an empty signature counts", data)
		}
	})
}
