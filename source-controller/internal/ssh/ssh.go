// Package ssh connects to servers over SSH and starts one command there. What it knows comes from a Secret: no file, agent,
// user or configuration of the machine it runs on is ever used, and nothing is executed on it.
//
// A server must show a host key that known_hosts has for it. What a server says, in banners, messages and on standard error,
// is read by nobody.
package ssh

import (
	"fmt"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// Error is why a server cannot be used, in words for the user: of what the server sent it holds nothing.
type Error struct {
	// Login is set when the key, its passphrase or known_hosts are to blame, or the server that does not take them.
	Login bool

	text string
}

// Error implements error.
func (e *Error) Error() string { return e.text }

func loginError(format string, args ...any) *Error {
	return &Error{Login: true, text: fmt.Sprintf(format, args...)}
}

// Algorithms are what may be agreed on with servers, the preferred ones first; nil for what is considered safe today.
type Algorithms struct {
	// KeyExchanges are names such as curve25519-sha256.
	KeyExchanges []string
	// HostKeys are names such as ssh-ed25519. They go before what known_hosts has.
	HostKeys []string
}

// Validate says which algorithm does not exist here. Those that are known to be weak do: whoever names one has his reasons.
func (a Algorithms) Validate() error {
	safe, weak := gossh.SupportedAlgorithms(), gossh.InsecureAlgorithms()
	if name, ok := unknown(a.KeyExchanges, safe.KeyExchanges, weak.KeyExchanges); ok {
		return fmt.Errorf("--ssh-kex-algos: there is no key exchange %q; choose from %s", name, strings.Join(safe.KeyExchanges, ", "))
	}
	if name, ok := unknown(a.HostKeys, safe.HostKeys, weak.HostKeys); ok {
		return fmt.Errorf("--ssh-hostkey-algos: there is no host key algorithm %q; choose from %s", name, strings.Join(safe.HostKeys, ", "))
	}
	return nil
}

func unknown(names, safe, weak []string) (string, bool) {
	for _, name := range names {
		if !slices.Contains(safe, name) && !slices.Contains(weak, name) {
			return name, true
		}
	}
	return "", false
}
