package sops

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/pgp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var update = flag.Bool("update", false, "encrypt the files in testdata again, to a new key")

const annotation = "example.com/marked"

// key is an age key pair of a test.
type key struct{ identity, recipient string }

func newKey(t testing.TB) key {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key{identity.String(), identity.Recipient().String()}
}

func (k key) ring(t testing.TB) *Keyring {
	t.Helper()
	ring, err := NewKeyring("apps/sops", map[string][]byte{"a.agekey": []byte("# a comment\n" + k.identity + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// encrypt does what the sops command does.
func encrypt(t testing.TB, content string, format formats.Format, recipient, encryptedRegex string) string {
	t.Helper()
	store := storeFor(format)
	branches, err := store.LoadPlainFile([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	master, err := sopsage.MasterKeyFromRecipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{
		KeyGroups: []sops.KeyGroup{{master}}, EncryptedRegex: encryptedRegex, Version: "3.13.3", LastModified: time.Now().UTC(),
	}}
	dataKey := bytes.Repeat([]byte{7}, 32)
	if err := master.Encrypt(dataKey); err != nil {
		t.Fatal(err)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		t.Fatal(err)
	}
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(encrypted)
}

const (
	secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\nstringData:\n  token: hunter22\n"
	second = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: second\nstringData:\n  token: swordfish\n"
	plain  = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: plain\n"
	values = "^(data|stringData)$"
)

func TestFile(t *testing.T) {
	k := newKey(t)
	one := encrypt(t, secret, formats.Yaml, k.recipient, values)
	unit := encrypt(t, secret+"---\n"+second, formats.Yaml, k.recipient, values)
	cases := map[string]struct {
		reason    string
		content   string
		tell      func(*Decrypter)
		want      []string
		decrypted bool
		spread    bool
	}{
		"plain":           {"nothing to do", plain, nil, []string{plain}, false, false},
		"one document":    {"the usual case", one, nil, []string{"token: hunter22", annotation + ": \"true\""}, true, false},
		"one unit":        {"documents encrypted together share a MAC", unit, nil, []string{"hunter22", "swordfish"}, true, false},
		"two units":       {"files put together keep their own MACs", one + "---\n" + encrypt(t, second, formats.Yaml, k.recipient, values), nil, []string{"hunter22", "swordfish"}, true, false},
		"mixed":           {"what is not encrypted stays as it is", plain + "---\n" + one, nil, []string{plain + "---\n", "hunter22"}, true, false},
		"JSON":            {"a manifest in JSON", encrypt(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"j"},"data":{"k":"aHVudGVyMjI="}}`, formats.Json, k.recipient, values), nil, []string{"aHVudGVyMjI=", annotation}, true, false},
		"whole document":  {"every value is encrypted, the kind too", encrypt(t, secret, formats.Yaml, k.recipient, ""), nil, []string{"kind: Secret", "hunter22"}, true, false},
		"no object":       {"there is no place for the mark", encrypt(t, "password: hunter22\n", formats.Yaml, k.recipient, ""), nil, []string{"hunter22"}, true, true},
		"opted out":       {"the object wants to stay as it is", strings.Replace(one, "metadata:\n", "metadata:\n    annotations: {"+decryptKey+": Disabled}\n", 1), nil, []string{"ENC["}, false, false},
		"config map":      {"inputs of a configMapGenerator stay as they are", one, func(d *Decrypter) { d.Plain("f") }, []string{"ENC["}, false, false},
		"env file":        {"a list of keys and values", encrypt(t, "A=hunter22\nB=2\n", formats.Dotenv, k.recipient, ""), func(d *Decrypter) { d.SecretEnv("f") }, []string{"A=hunter22\nB=2\n"}, true, false},
		"ini":             {"by the name of the key", encrypt(t, "[db]\npassword = hunter22\n", formats.Ini, k.recipient, ""), func(d *Decrypter) { d.SecretFile("f", "db.ini") }, []string{"hunter22"}, true, false},
		"binary":          {"by the name of the key", encrypt(t, "\x00\x01hunter22", formats.Binary, k.recipient, ""), func(d *Decrypter) { d.SecretFile("f", "blob") }, []string{"\x00\x01hunter22"}, true, false},
		"binary as YAML":  {"the key's name does not tell how it was encrypted", encrypt(t, "a: hunter22", formats.Binary, k.recipient, ""), func(d *Decrypter) { d.SecretFile("f", "v.yaml") }, []string{"a: hunter22"}, true, false},
		"Docker's":        {"its key is JSON, whatever the name ends with", encrypt(t, `{"auths":{"r":{"auth":"hunter22"}}}`, formats.Json, k.recipient, ""), func(d *Decrypter) { d.SecretFile("f", ".dockerconfigjson") }, []string{`"auths"`, "hunter22"}, true, false},
		"YAML in a blob":  {"what is encrypted is never taken for plain", encrypt(t, "password: hunter22\n", formats.Yaml, k.recipient, ""), func(d *Decrypter) { d.SecretFile("f", "settings") }, []string{"password: hunter22\n"}, true, false},
		"env in YAML":     {"what is encrypted is never taken for plain", encrypt(t, "A=hunter22\n", formats.Dotenv, k.recipient, ""), func(d *Decrypter) { d.SecretFile("f", "v.yaml") }, []string{"A=hunter22\n"}, true, false},
		"ini in a blob":   {"what is encrypted is never taken for plain", encrypt(t, "[db]\npassword = hunter22\n", formats.Ini, k.recipient, ""), func(d *Decrypter) { d.SecretFile("f", "settings") }, []string{"hunter22"}, true, false},
		"speaks of SOPS":  {"a text about it is not encrypted", "[sops]\nmac is a MAC\n", func(d *Decrypter) { d.SecretFile("f", "notes") }, []string{"[sops]\nmac is a MAC\n"}, false, false},
		"plain generator": {"a generator's input in the clear", "A=1\n", func(d *Decrypter) { d.SecretEnv("f") }, []string{"A=1\n"}, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := New(Options{Unwrap: k.ring(t).Unwrap})
			if c.tell != nil {
				c.tell(d)
			}
			got, decrypted, spread, err := d.File("f", []byte(c.content), annotation)
			if err != nil || decrypted != c.decrypted || spread != c.spread {
				t.Fatalf("%s: decrypted %v, spread %v, error %v", c.reason, decrypted, spread, err)
			}
			for _, part := range c.want {
				if !strings.Contains(string(got), part) {
					t.Errorf("%s: %q lacks %q", c.reason, got, part)
				}
			}
			if decrypted && (strings.Contains(string(got), "ENC[") || strings.Contains(string(got), "sops")) {
				t.Errorf("%s: %q is still encrypted", c.reason, got)
			}
			if decrypted && !d.Leaks("it says "+string(got)) {
				t.Errorf("%s: a decrypted value is not known as one", c.reason)
			}
		})
	}
}

func TestFileRefuses(t *testing.T) {
	k, other := newKey(t), newKey(t)
	one := encrypt(t, secret, formats.Yaml, k.recipient, values)
	empty, err := NewKeyring("apps/sops", map[string][]byte{"old.asc": []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason  string
		content string
		ring    *Keyring
		want    []string
	}{
		"wrong key":     {"the keys are another's", one, other.ring(t), []string{"none of the 1 age keys in Secret apps/sops fits", k.recipient}},
		"missing key":   {"the Secret has no age key", one, empty, []string{"has no age key", "old.asc", ".agekey", k.recipient}},
		"no Secret":     {"the subject names none", one, nil, []string{"spec.decryption.secretRef", k.recipient}},
		"changed value": {"a value that is not encrypted was changed", strings.Replace(one, "name: token", "name: other", 1), k.ring(t), []string{"MAC", "sops-mac"}},
		"damaged value": {"a ciphertext was changed", regexp.MustCompile(`token: ENC\[AES256_GCM,data:.`).ReplaceAllString(one, "token: ENC[AES256_GCM,data:"), k.ring(t), []string{"cannot be decrypted"}},
		"no MAC":        {"the MAC was taken out", regexp.MustCompile(`(?m)^    mac: .*$`).ReplaceAllString(one, `    mac: ""`), k.ring(t), []string{"MAC"}},
		"MAC of another": {"a MAC that is not one", regexp.MustCompile(`(?m)^    mac: .*$`).ReplaceAllString(one, `    mac: ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]`),
			k.ring(t), []string{"MAC"}},
		"no keys":   {"nobody can open it", regexp.MustCompile(`(?s)    age:.*?    lastmodified`).ReplaceAllString(one, "    lastmodified"), k.ring(t), []string{"sops block"}},
		"bad block": {"a block that is none", one + "\n---\napiVersion: v1\nkind: X\nsops: {mac: [1], lastmodified: x}\n", k.ring(t), []string{"sops block"}},
		"too large": {"a limit", strings.Replace(one, "kind: Secret", "kind: Secret\nx: "+strings.Repeat("a", maxEncrypted), 1), k.ring(t), []string{"more than"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := New(Options{Unwrap: c.ring.Unwrap})
			_, _, _, err := d.File("f", []byte(c.content), annotation)
			if err == nil {
				t.Fatalf("%s: no error", c.reason)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %q does not say %q", c.reason, err, part)
				}
			}
			for _, secret := range []string{"hunter22", "ENC[", k.identity} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %q repeats what nobody may see", c.reason, err)
				}
			}
		})
	}
}

func TestWarnOnMAC(t *testing.T) {
	k := newKey(t)
	d := New(Options{Unwrap: k.ring(t).Unwrap, WarnOnMAC: true})
	changed := strings.Replace(encrypt(t, secret, formats.Yaml, k.recipient, values), "name: token", "name: other", 1)
	got, decrypted, _, err := d.File("apps/s.yaml", []byte(changed), annotation)
	if err != nil || !decrypted || !strings.Contains(string(got), "hunter22") {
		t.Errorf("%q, decrypted %v, error %v", got, decrypted, err)
	}
	if len(d.Warnings()) != 1 || !strings.Contains(d.Warnings()[0], "apps/s.yaml") {
		t.Errorf("warnings %q", d.Warnings())
	}
}

func TestOtherKindsOfKeys(t *testing.T) {
	metadata := &sops.Metadata{KeyGroups: []sops.KeyGroup{{pgp.NewMasterKeyFromFingerprint("ABCD")}}}
	_, err := dataKey(metadata, func(WrappedKey) ([]byte, error) { return nil, errors.New("asked") })
	if err == nil || !strings.Contains(err.Error(), "pgp") || !strings.Contains(err.Error(), "not served") {
		t.Errorf("error %v, want one that says that PGP is not served", err)
	}
}

func TestObject(t *testing.T) {
	k := newKey(t)
	object := func(content string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON([]byte(content)); err != nil {
			t.Fatal(err)
		}
		return o
	}
	t.Run("whole", func(t *testing.T) {
		o := object(encrypt(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"k":"hunter22"}}`, formats.Json, k.recipient, values))
		o.SetNamespace("added-by-the-build")
		decrypted, err := New(Options{Unwrap: k.ring(t).Unwrap}).Object(o)
		got, _, _ := unstructured.NestedString(o.Object, "stringData", "k")
		if err != nil || !decrypted || got != "hunter22" || o.Object["sops"] != nil || o.GetNamespace() == "" {
			t.Errorf("object %v, decrypted %v, error %v", o.Object, decrypted, err)
		}
	})
	t.Run("value", func(t *testing.T) {
		o := object(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}`)
		value := encrypt(t, "password: hunter22\n", formats.Yaml, k.recipient, "")
		if err := unstructured.SetNestedField(o.Object, value, "stringData", "values.yaml"); err != nil {
			t.Fatal(err)
		}
		decrypted, err := New(Options{Unwrap: k.ring(t).Unwrap}).Object(o)
		got, _, _ := unstructured.NestedString(o.Object, "stringData", "values.yaml")
		if err != nil || !decrypted || got != "password: hunter22\n" {
			t.Errorf("value %q, decrypted %v, error %v", got, decrypted, err)
		}
	})
	t.Run("data of another format than its key's", func(t *testing.T) {
		value := encrypt(t, "password: hunter22\n", formats.Yaml, k.recipient, "")
		o := object(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"settings":"` + base64.StdEncoding.EncodeToString([]byte(value)) + `"}}`)
		decrypted, err := New(Options{Unwrap: k.ring(t).Unwrap}).Object(o)
		got, _, _ := unstructured.NestedString(o.Object, "data", "settings")
		if want := base64.StdEncoding.EncodeToString([]byte("password: hunter22\n")); err != nil || !decrypted || got != want {
			t.Errorf("value %q, decrypted %v, error %v", got, decrypted, err)
		}
	})
	t.Run("plain", func(t *testing.T) {
		o := object(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}`)
		if decrypted, err := New(Options{Unwrap: k.ring(t).Unwrap}).Object(o); decrypted || err != nil {
			t.Errorf("decrypted %v, error %v", decrypted, err)
		}
	})
}

func TestKeyringRefuses(t *testing.T) {
	_, err := NewKeyring("apps/sops", map[string][]byte{"a.agekey": []byte("AGE-SECRET-KEY-1CANARY")})
	if err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("error %v, want one that does not repeat the key", err)
	}
	k := newKey(t)
	for _, ciphertext := range []string{"", "not age", strings.Repeat("x", maxWrapped+1)} {
		if _, err := k.ring(t).Unwrap(WrappedKey{Ciphertext: []byte(ciphertext)}); err == nil {
			t.Errorf("%.20q was unwrapped", ciphertext)
		}
	}
}

// TestTestdata keeps files for the tests of other packages, which do not import SOPS: a key and what is encrypted for it.
func TestTestdata(t *testing.T) {
	const dir = "testdata"
	keyFile, secretFile := filepath.Join(dir, "test.agekey"), filepath.Join(dir, "secret.sops.yaml")
	if *update {
		k := newKey(t)
		for file, content := range map[string]string{
			keyFile: k.identity + "\n", secretFile: encrypt(t, secret, formats.Yaml, k.recipient, values),
		} {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	identity, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(secretFile)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := NewKeyring("apps/sops", map[string][]byte{"test.agekey": identity})
	if err != nil {
		t.Fatal(err)
	}
	got, decrypted, _, err := New(Options{Unwrap: ring.Unwrap}).File("f", content, annotation)
	if err != nil || !decrypted || !strings.Contains(string(got), "hunter22") {
		t.Errorf("%q, decrypted %v, error %v", got, decrypted, err)
	}
}

func FuzzFile(f *testing.F) {
	k := newKey(f)
	ring := k.ring(f)
	f.Add([]byte(encrypt(f, secret+"---\n"+second, formats.Yaml, k.recipient, values)))
	f.Add([]byte(encrypt(f, `{"a":"b"}`, formats.Json, k.recipient, "")))
	f.Add([]byte("sops: {mac: 'ENC[x]'}\na: &a [*a]\n"))
	f.Add([]byte("---\n---\nsops:\n"))
	f.Fuzz(func(_ *testing.T, content []byte) {
		for _, tell := range []func(*Decrypter){func(*Decrypter) {}, func(d *Decrypter) { d.SecretEnv("f") }, func(d *Decrypter) { d.SecretFile("f", "a.ini") }} {
			d := New(Options{Unwrap: ring.Unwrap})
			tell(d)
			_, _, _, _ = d.File("f", content, annotation)
		}
	})
}

// TestIntegersAreExact: an integer of 64 bits is what the author wrote, encrypted or beside what is, in a file or in an object.
func TestIntegersAreExact(t *testing.T) {
	k := newKey(t)
	for name, tt := range map[string]struct {
		content string
		format  formats.Format
	}{
		"YAML": {"apiVersion: example.com/v1\nkind: Thing\nmetadata:\n    name: a\nspec:\n    id: 9123456789012345678\ndata:\n    id: 9123456789012345677\n", formats.Yaml},
		"JSON": {`{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"a"},"spec":{"id":9123456789012345678},"data":{"id":9123456789012345677}}`, formats.Json},
	} {
		encrypted := encrypt(t, tt.content, tt.format, k.recipient, values)
		d := New(Options{Unwrap: k.ring(t).Unwrap})
		clear, _, _, err := d.File("f", []byte(encrypted), annotation)
		if err != nil || !strings.Contains(string(clear), "9123456789012345678") || !strings.Contains(string(clear), "9123456789012345677") {
			t.Errorf("%s file: %s, error %v", name, clear, err)
		}
		if tt.format != formats.Json {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON([]byte(encrypted)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Object(object); err != nil {
			t.Fatal(err)
		}
		for field, want := range map[string]int64{"spec": 9123456789012345678, "data": 9123456789012345677} {
			if got, _, err := unstructured.NestedInt64(object.Object, field, "id"); err != nil || got != want {
				t.Errorf("object: %s.id is %d, error %v, want %d", field, got, err, want)
			}
		}
	}
}
