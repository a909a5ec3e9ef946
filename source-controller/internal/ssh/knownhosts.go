package ssh

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// maxComparisons bounds what it may cost to look a host up: a pattern of many stars takes time that grows with each.
const maxComparisons = 5_000_000

// knownHosts is a parsed known_hosts, with hashed names, ports, @revoked and @cert-authority.
type knownHosts struct {
	check gossh.HostKeyCallback
	// authorities is set when there is a line with @cert-authority.
	authorities bool
	// patterns counts those with a number of stars.
	patterns map[int]int
}

func parseKnownHosts(data []byte) (*knownHosts, error) {
	hosts := &knownHosts{patterns: map[int]int{}}
	lines := 0
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		marker, names, _, _, _, err := gossh.ParseKnownHosts([]byte(line))
		if err != nil || marker != "" && marker != "cert-authority" && marker != "revoked" {
			return nil, fmt.Errorf("line %d of known_hosts is not one that ssh-keyscan prints: a name, a kind of key, and the key", i+1)
		}
		lines++
		hosts.authorities = hosts.authorities || marker == "cert-authority"
		for _, name := range names {
			hosts.patterns[strings.Count(name, "*")]++
		}
	}
	if lines == 0 {
		return nil, errors.New("known_hosts has no line but comments")
	}
	check, err := parseFile(data)
	if err != nil {
		return nil, errors.New("known_hosts is not in the format that ssh-keyscan prints")
	}
	hosts.check = check
	return hosts, nil
}

// parseFile gives the library the file it wants, which is a pipe: there is none on disk.
func parseFile(data []byte) (gossh.HostKeyCallback, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	written := make(chan error, 1)
	go func() {
		_, err := w.Write(data)
		written <- errors.Join(err, w.Close())
	}()
	check, err := knownhosts.New(fmt.Sprintf("/dev/fd/%d", r.Fd()))
	// Once nobody reads any more, the writer ends, too.
	return check, errors.Join(err, r.Close(), <-written)
}

// bearable reports whether a host can be looked up without taking all the time there is.
func (k *knownHosts) bearable(host string) bool {
	total := 0.0
	for stars, count := range k.patterns {
		cost := 1.0
		for i := range stars {
			cost *= float64(len(host)+1) / float64(i+1)
		}
		total += float64(count) * max(cost, 1)
	}
	return total <= maxComparisons
}

// algorithms are what a server at an address is asked for: host keys of the kinds that are known of it. A server has keys of
// several kinds, and shows the one that it is asked for first.
func (k *knownHosts) algorithms(address string) []string {
	var found *knownhosts.KeyError
	var names []string
	if errors.As(k.check(address, nowhere, nobody{}), &found) {
		for _, known := range found.Want {
			names = append(names, hostKeyAlgorithms(known.Key.Type())...)
		}
	}
	safe := gossh.SupportedAlgorithms().HostKeys
	names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(safe, name) })
	if len(names) == 0 {
		return safe
	}
	if k.authorities {
		// A certificate is of any kind, and so is the key of its authority.
		certificates := slices.DeleteFunc(slices.Clone(safe), func(name string) bool { return !strings.Contains(name, "-cert-v01@") })
		names = append(append(certificates, names...), safe...)
	}
	return dedup(names)
}

func hostKeyAlgorithms(kind string) []string {
	if kind == gossh.KeyAlgoRSA {
		return []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

func dedup(names []string) []string {
	var once []string
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

// verify is what decides about the key that a server at an address shows.
func (k *knownHosts) verify(address string, remote net.Addr, key gossh.PublicKey) error {
	err := k.check(address, remote, key)
	if err == nil {
		return nil
	}
	shown := knownhosts.Normalize(address)
	var (
		found   *knownhosts.KeyError
		revoked *knownhosts.RevokedError
	)
	switch {
	case errors.As(err, &revoked):
		return loginError("the host key of %s is marked @revoked in known_hosts of spec.secretRef: the server must be given a new one", shown)
	case errors.As(err, &found) && len(found.Want) == 0:
		return loginError("known_hosts of spec.secretRef has no key of the host %s: add the lines that %s prints, once you have checked them",
			shown, keyscan(address))
	case errors.As(err, &found):
		return loginError("the host key of %s is not the one in known_hosts of spec.secretRef: the server has a new one, "+
			"or another server answers in its place; find out which before you replace it by what %s prints", shown, keyscan(address))
	}
	return loginError("the certificate that %s shows as its host key is not valid: known_hosts of spec.secretRef must name its authority "+
		"with @cert-authority for this host, and it must be for this name, not have ended, and not be revoked", shown)
}

// keyscan is the command that prints a server's keys.
func keyscan(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "22" {
		return "ssh-keyscan " + host
	}
	return "ssh-keyscan -p " + port + " " + host
}

// nowhere is no server's address, nobody no server's key.
var nowhere net.Addr = &net.TCPAddr{IP: net.IPv4zero} //nolint:gochecknoglobals // a constant, if there were such

type nobody struct{}

func (nobody) Type() string                          { return "nobody" }
func (nobody) Marshal() []byte                       { return []byte("nobody") }
func (nobody) Verify([]byte, *gossh.Signature) error { return errors.New("nobody signs") }
