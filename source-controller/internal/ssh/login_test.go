package ssh_test

import (
	"bytes"
	"crypto/dsa" //nolint:staticcheck // such keys are refused
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/ssh"
)

// hosts is a known_hosts that is fine.
func hosts(t *testing.T) []byte {
	t.Helper()
	key := gittest.Signer(t, gittest.NewKey(t)).PublicKey()
	return []byte("example.com " + authorized(key))
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestParseLogin(t *testing.T) {
	t.Parallel()
	type data = map[string][]byte
	plain, known := gittest.NewKey(t), hosts(t)
	locked := gittest.MarshalKey(t, newECDSA(t, elliptic.P256()), "pass-canary")
	pkcs8, err := x509.MarshalPKCS8PrivateKey(newECDSA(t, elliptic.P384()))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason string
		data   data
		text   string
	}{
		"a key":           {"what everybody has", data{"identity": plain, "known_hosts": known}, ""},
		"identity.pub":    {"flux create secret adds it", data{"identity": plain, "identity.pub": []byte("canary"), "known_hosts": known}, ""},
		"a passphrase":    {"it opens the key", data{"identity": locked, "password": []byte("pass-canary"), "known_hosts": known}, ""},
		"too much":        {"a passphrase that is not needed", data{"identity": plain, "password": []byte("pass-canary"), "known_hosts": known}, ""},
		"PKCS #8":         {"as openssl writes keys", data{"identity": inPEM("PRIVATE KEY", pkcs8), "known_hosts": known}, ""},
		"PKCS #1":         {"as ssh-keygen -m PEM writes them", data{"identity": inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(newRSA(t))), "known_hosts": known}, ""},
		"nothing":         {"the Secret is another one's", data{"username": []byte("canary")}, "it has no identity"},
		"no known_hosts":  {"nobody could tell who answers", data{"identity": plain}, "it has no known_hosts"},
		"no passphrase":   {"the key is locked", data{"identity": locked, "known_hosts": known}, "put its passphrase into password"},
		"wrong one":       {"the key stays locked", data{"identity": locked, "password": []byte("canary"), "known_hosts": known}, "password is not its passphrase"},
		"white space":     {"echo added a line end, which may be meant", data{"identity": locked, "password": []byte("pass-canary\n"), "known_hosts": known}, "ends with white space"},
		"a public key":    {"the other half of the pair", data{"identity": []byte("ssh-ed25519 canary"), "known_hosts": known}, "identity is not a private key"},
		"DSA":             {"servers gave it up", data{"identity": newDSA(t), "known_hosts": known}, "not safe any more"},
		"no lines":        {"comments know no host", data{"identity": plain, "known_hosts": []byte("# canary\n\n")}, "no line but comments"},
		"a line is short": {"which one is said", data{"identity": plain, "known_hosts": append(hosts(t), "canary.example.com ssh-rsa\n"...)}, "line 2 of known_hosts"},
		"a key is broken": {"it is no key", data{"identity": plain, "known_hosts": []byte("example.com ssh-rsa canary")}, "line 1 of known_hosts"},
		"a marker":        {"there are two", data{"identity": plain, "known_hosts": append([]byte("@canary "), known...)}, "line 1 of known_hosts"},
		"a hash":          {"names are hashed in one way", data{"identity": plain, "known_hosts": bytes.Replace(known, []byte("example.com"), []byte("|2|canary|canary"), 1)}, "not in the format"},
		"Windows":         {"lines may end as there", data{"identity": plain, "known_hosts": bytes.ReplaceAll(known, []byte("\n"), []byte("\r\n"))}, ""},
		"many hosts":      {"more than fits into a pipe at once", data{"identity": plain, "known_hosts": bytes.Repeat(known, 2000)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			login, err := ssh.ParseLogin(tc.data)
			if (err == nil) != (tc.text == "") || err != nil && (!strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("got %v, want %q: %s", err, tc.text, tc.reason)
			}
			if shown := fmt.Sprintf("%v %+v %#v", login, login, login); shown != "an SSH key an SSH key an SSH key" {
				t.Errorf("it prints as %q", shown)
			}
		})
	}
}

// newDSA is a key as ssh-keygen wrote it once. It need not be a good one.
func newDSA(t *testing.T) []byte {
	t.Helper()
	var key dsa.PrivateKey
	if err := dsa.GenerateParameters(&key.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		t.Fatal(err)
	}
	if err := dsa.GenerateKey(&key, rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Version       int
		P, Q, G, Y, X *big.Int
	}{0, key.P, key.Q, key.G, key.Y, key.X})
	if err != nil {
		t.Fatal(err)
	}
	return inPEM("DSA PRIVATE KEY", der)
}

// FuzzParseLogin holds that whatever a Secret holds, it is taken or refused, in words without it.
func FuzzParseLogin(f *testing.F) {
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n-----END OPENSSH PRIVATE KEY-----\n"), []byte("canary"), []byte("a ssh-rsa AAAA"))
	f.Add([]byte(nil), []byte(nil), []byte("@revoked * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJDX+qWLqFPNN3xbRwVXTrYu5z6TKF5CFHmzRzNeqkEv"))
	f.Add([]byte(nil), []byte(nil), []byte("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-ed25519 AAAA"))
	key := gittest.NewKey(f)
	f.Fuzz(func(t *testing.T, identity, password, known []byte) {
		if len(identity) == 0 {
			identity = key
		}
		_, err := ssh.ParseLogin(map[string][]byte{"identity": identity, "password": password, "known_hosts": known})
		if err != nil && len(known) > 20 && strings.Contains(err.Error(), string(known)) {
			t.Errorf("the message quotes known_hosts: %v", err)
		}
	})
}
