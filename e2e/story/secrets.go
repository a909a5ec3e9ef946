package story

import (
	"fmt"
	"os"
	"regexp"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/version"
	"github.com/rogpeppe/go-internal/testscript"
)

// agekey makes an age key pair: agekey key.agekey writes the identity and sets $IDENTITY and $RECIPIENT.
func agekey(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: agekey file")
	}
	identity, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(identity.String()+"\n"), 0o600))
	ts.Setenv("IDENTITY", identity.String())
	ts.Setenv("RECIPIENT", identity.Recipient().String())
}

// encrypt does in place what sops --encrypt does: encrypt file recipient [encrypted-regex]
func encrypt(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: encrypt file recipient [encrypted-regex]")
	}
	regex := ""
	if len(args) == 3 {
		regex = args[2]
	}
	path := ts.MkAbs(args[0])
	plain, err := os.ReadFile(path)
	ts.Check(err)
	sealed, err := sopsEncrypt(path, plain, args[1], regex)
	ts.Check(err)
	ts.Check(os.WriteFile(path, sealed, 0o600))
}

// tamper edits an encrypted file where its MAC should notice: tamper secret.yaml
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: tamper file")
	}
	text := ts.ReadFile(args[0])
	edited := otherKey.ReplaceAllString(text, "")
	if edited == text {
		ts.Fatalf("%s has no key to take out", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(edited), 0o600))
}

// otherKey is a line that tamper takes out.
var otherKey = regexp.MustCompile(`(?m)^ +other: ENC\[.*\n`)

func sopsEncrypt(path string, plain []byte, recipient, regex string) ([]byte, error) {
	store := common.DefaultStoreForPath(config.NewStoresConfig(), path)
	branches, err := store.LoadPlainFile(plain)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	key, err := sopsage.MasterKeyFromRecipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	tree := sops.Tree{Branches: branches, FilePath: path, Metadata: sops.Metadata{
		KeyGroups:      []sops.KeyGroup{{key}},
		EncryptedRegex: regex,
		Version:        version.Version,
	}}
	dataKey, errs := tree.GenerateDataKeyWithKeyServices([]keyservice.KeyServiceClient{keyservice.NewLocalClient()})
	if len(errs) > 0 {
		return nil, fmt.Errorf("data key: %v", errs)
	}
	if err := common.EncryptTree(common.EncryptTreeOpts{DataKey: dataKey, Tree: &tree, Cipher: aes.NewCipher()}); err != nil {
		return nil, fmt.Errorf("encrypt %s: %w", path, err)
	}
	return store.EmitEncryptedFile(tree)
}
