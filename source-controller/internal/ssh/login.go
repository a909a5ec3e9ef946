package ssh

import (
	"errors"
	"fmt"
	"slices"

	gossh "golang.org/x/crypto/ssh"

	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
)

// Login is the key that a server is to let in, and the servers that it may be shown to. It prints as nothing.
type Login struct {
	signer gossh.Signer
	hosts  *knownHosts
}

// String keeps the key out of whatever prints it.
func (Login) String() string { return "an SSH key" }

// GoString keeps the key out of whatever prints it.
func (Login) GoString() string { return "an SSH key" }

// IsZero is set when there is no key.
func (l Login) IsZero() bool { return l.signer == nil }

// ParseLogin reads the keys that Flux defines for repositories over SSH: identity, a private key; password, its passphrase if
// it has one; known_hosts. The error names keys, never values.
func ParseLogin(data map[string][]byte) (Login, error) {
	if len(data["identity"]) == 0 {
		return Login{}, errors.New("it has no identity, the private key for SSH")
	}
	if len(data["known_hosts"]) == 0 {
		return Login{}, errors.New("it has no known_hosts; without the server's host key nobody can tell who answers: " +
			"put in what ssh-keyscan prints for the host of spec.url, once you have checked it")
	}
	signer, err := parseIdentity(data["identity"], data["password"])
	if errors.Is(err, errPassphrase) {
		return Login{}, fmt.Errorf("%w%s", err, secret.PaddingOf(data, "password").Hint("spec.secretRef"))
	}
	if err != nil {
		return Login{}, err
	}
	hosts, err := parseKnownHosts(data["known_hosts"])
	if err != nil {
		return Login{}, err
	}
	return Login{signer: signer, hosts: hosts}, nil
}

// errPassphrase is also for what cannot be decrypted with any: that cannot be told apart.
var errPassphrase = errors.New("identity is encrypted, and password is not its passphrase")

func parseIdentity(identity, passphrase []byte) (gossh.Signer, error) {
	signer, err := gossh.ParsePrivateKey(identity)
	var locked *gossh.PassphraseMissingError
	if errors.As(err, &locked) {
		if len(passphrase) == 0 {
			return nil, errors.New("identity is encrypted; put its passphrase into password")
		}
		if signer, err = gossh.ParsePrivateKeyWithPassphrase(identity, passphrase); err != nil {
			return nil, errPassphrase
		}
	}
	if err != nil {
		return nil, errors.New("identity is not a private key that ssh-keygen makes, of type ed25519, ecdsa or rsa")
	}
	return modern(signer)
}

// modern keeps RSA keys from signing with SHA-1, and refuses kinds of keys that servers gave up.
func modern(signer gossh.Signer) (gossh.Signer, error) {
	safe := gossh.SupportedAlgorithms().PublicKeyAuths
	if signer.PublicKey().Type() != gossh.KeyAlgoRSA {
		if !slices.Contains(safe, signer.PublicKey().Type()) {
			return nil, errors.New("identity is of a type that is not safe any more; use ed25519, ecdsa or rsa")
		}
		return signer, nil
	}
	algorithms, ok := signer.(gossh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("identity is an RSA key that cannot sign with SHA-2; use ed25519")
	}
	limited, err := gossh.NewSignerWithAlgorithms(algorithms, []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256})
	if err != nil {
		return nil, errors.New("identity is an RSA key that cannot sign with SHA-2; use ed25519")
	}
	return limited, nil
}
