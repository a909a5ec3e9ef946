package sops

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/cmd/sops/formats"
)

// maxEncrypted is the largest encrypted file, in bytes: Flux's limit.
const maxEncrypted = 5 << 20

// macCheck says what becomes of a MAC that does not fit.
type macCheck int

const (
	macEnforce macCheck = iota
	macWarn
	macSkip // the content may have been changed on purpose since it was read
)

var errMAC = errors.New("its MAC does not fit: it was changed after it was encrypted; edit it with sops, " +
	"or set the annotation sluice.dev/sops-mac: warn on the Kustomization to accept it")

// load reads an encrypted content.
func load(content []byte, format formats.Format) (tree sops.Tree, err error) {
	if len(content) > maxEncrypted {
		return tree, fmt.Errorf("it has %d bytes, more than the %d that are decrypted", len(content), maxEncrypted)
	}
	tree, err = storeFor(format).LoadEncryptedFile(content)
	if err != nil {
		return tree, errors.New("its sops block cannot be read")
	}
	return tree, nil
}

// decryptTree decrypts a loaded content in place, and remembers its values so that no message repeats them.
func (d *Decrypter) decryptTree(tree *sops.Tree, check macCheck) error {
	key, err := dataKey(&tree.Metadata, d.options.Unwrap)
	if err != nil {
		return err
	}
	cipher := aes.NewCipher()
	computed, err := tree.Decrypt(key, cipher)
	if err != nil {
		return errors.New("a value in it cannot be decrypted: it was changed after it was encrypted, or encrypted with another data key")
	}
	for _, branch := range tree.Branches {
		d.remember(branch)
	}
	if check == macSkip {
		return nil
	}
	stated, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err == nil && stated == computed && computed != "" {
		return nil
	}
	if check == macWarn {
		d.warn("its MAC does not fit: it was changed after it was encrypted")
		return nil
	}
	return errMAC
}

// emit writes decrypted branches in a format.
func emit(branches sops.TreeBranches, format formats.Format) ([]byte, error) {
	content, err := storeFor(format).EmitPlainFile(branches)
	if err != nil {
		return nil, errors.New("it cannot be written in the format that its place asks for")
	}
	return content, nil
}

// remember keeps the leaves of a decrypted content.
func (d *Decrypter) remember(value any) {
	switch v := value.(type) {
	case sops.TreeBranch:
		for _, item := range v {
			d.remember(item.Value)
		}
	case []any:
		for _, item := range v {
			d.remember(item)
		}
	case string:
		for line := range strings.SplitSeq(v, "\n") {
			d.rememberText(line)
		}
	case int, int64, float64:
		d.rememberText(fmt.Sprint(v))
	}
}

// minSecret is the shortest value that is searched for in messages; shorter ones are everywhere.
const minSecret = 4

// maxSecrets bounds how many values are remembered. With more, every message counts as one that repeats a value.
const maxSecrets = 50_000

func (d *Decrypter) rememberText(text string) {
	text = strings.TrimSpace(text)
	if len(text) < minSecret || len(d.secrets) > maxSecrets {
		return
	}
	d.secrets = append(d.secrets, text, base64.StdEncoding.EncodeToString([]byte(text)))
	if decoded, err := base64.StdEncoding.DecodeString(text); err == nil && len(decoded) >= minSecret {
		d.secrets = append(d.secrets, string(decoded))
	}
}

// Leaks says whether a text repeats a decrypted value, or the start of a long one.
func (d *Decrypter) Leaks(text string) bool {
	if len(d.secrets) > maxSecrets {
		return true
	}
	const start = 10
	return slices.ContainsFunc(d.secrets, func(secret string) bool {
		return strings.Contains(text, secret[:min(len(secret), start)])
	})
}
