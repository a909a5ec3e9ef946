package ssh_test

import (
	"context"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/sluice-gitops/sluice/source-controller/internal/gittest"
	"github.com/sluice-gitops/sluice/source-controller/internal/ssh"
)

// authorized is a public key as known_hosts has it, with a line end.
func authorized(key gossh.PublicKey) string { return string(gossh.MarshalAuthorizedKey(key)) }

// dial logs in to a server, runs upload-pack on a repository that is not there, and reads to the end.
func dial(t *testing.T, server *gittest.SSHServer, secret map[string][]byte, change func(*ssh.Options)) error {
	t.Helper()
	login, err := ssh.ParseLogin(secret)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	o := ssh.Options{Host: host, Port: port, User: "git", Login: login}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := ssh.Dial(ctx, o)
	if err != nil {
		return err
	}
	defer conn.Close(nil)
	_, stdout, err := conn.Start("git-upload-pack '/nothing.git'")
	if err != nil {
		return err
	}
	_, err = io.ReadAll(stdout)
	return err
}

// TestKeys: every kind of key that is in use, on either side.
func TestKeys(t *testing.T) {
	t.Parallel()
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{
		"ed25519": edwards, "ecdsa 256": newECDSA(t, elliptic.P256()), "ecdsa 384": newECDSA(t, elliptic.P384()),
		"ecdsa 521": newECDSA(t, elliptic.P521()), "rsa": newRSA(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pem := gittest.MarshalKey(t, key, "")
			server := gittest.NewSSH(t, gittest.Signer(t, pem))
			server.Accept(gittest.Signer(t, pem).PublicKey())
			if err := dial(t, server, map[string][]byte{"identity": pem, "known_hosts": server.KnownHosts()}, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRSAKeysSignWithSHA2: a server that takes nothing else, as those of today, and one that takes nothing but SHA-1.
func TestRSAKeysSignWithSHA2(t *testing.T) {
	t.Parallel()
	pem := gittest.MarshalKey(t, newRSA(t), "")
	for name, tc := range map[string]struct{ algorithm, text string }{
		"SHA-512": {gossh.KeyAlgoRSASHA512, ""},
		"SHA-256": {gossh.KeyAlgoRSASHA256, ""},
		"SHA-1":   {gossh.KeyAlgoRSA, "takes RSA keys with SHA-1 only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gittest.NewSSH(t)
			server.Configure(func(c *gossh.ServerConfig) { c.PublicKeyAuthAlgorithms = []string{tc.algorithm} })
			server.Accept(gittest.Signer(t, pem).PublicKey())
			err := dial(t, server, map[string][]byte{"identity": pem, "known_hosts": server.KnownHosts()}, nil)
			expect(t, err, tc.text, true)
		})
	}
}

// expect holds what an error says, whether it is about the login, and that it shows nothing that it must not.
func expect(t *testing.T, err error, text string, login bool) {
	t.Helper()
	if text == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	var ours *ssh.Error
	if !errors.As(err, &ours) || ours.Login != login || !strings.Contains(err.Error(), text) {
		t.Fatalf("got %v, want %q, about the login: %t", err, text, login)
	}
	for _, secret := range []string{"canary", "AAAA", "SHA256:", "text of the server"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the message shows %q: %v", secret, err)
		}
	}
}

// authority signs host keys.
type authority struct {
	t      *testing.T
	signer gossh.Signer
}

func (a authority) line(address string) string {
	return "@cert-authority " + knownhosts.Normalize(address) + " " + authorized(a.signer.PublicKey())
}

func (a authority) certify(key gossh.Signer, name string, ends time.Time) gossh.Signer {
	a.t.Helper()
	cert := &gossh.Certificate{
		Key: key.PublicKey(), CertType: gossh.HostCert, ValidPrincipals: []string{name},
		ValidAfter: uint64(ends.Add(-48 * time.Hour).Unix()), ValidBefore: uint64(ends.Unix()),
	}
	if err := cert.SignCert(rand.Reader, a.signer); err != nil {
		a.t.Fatal(err)
	}
	signer, err := gossh.NewCertSigner(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return signer
}

// TestKnownHosts: whom the key is shown to, and what is said when it is not.
func TestKnownHosts(t *testing.T) {
	t.Parallel()
	key, other := gittest.Signer(t, gittest.NewKey(t)), gittest.Signer(t, gittest.NewKey(t))
	ca := authority{t, gittest.Signer(t, gittest.NewKey(t))}
	tomorrow := time.Now().Add(24 * time.Hour)
	const unknown, mismatch, revoked, invalid = "has no key of the host", "is not the one in known_hosts", "is marked @revoked", "is not valid"
	for name, tc := range map[string]struct {
		reason string
		key    gossh.Signer
		hosts  func(address string) string
		text   string
	}{
		"the key": {"as ssh-keyscan prints it", key, func(a string) string { return line(a, key) }, ""},
		"hashed": {"as OpenSSH writes names", key, func(a string) string {
			return knownhosts.HashHostname(knownhosts.Normalize(a)) + " " + authorized(key.PublicKey())
		}, ""},
		"hashed, another": {"a hash is of one name", key, func(string) string {
			return knownhosts.HashHostname("[127.0.0.1]:1") + " " + authorized(key.PublicKey())
		}, unknown},
		"among others": {"a host may have several, of one kind", key, func(a string) string { return line(a, other) + line(a, key) }, ""},
		"pattern":      {"for all ports of a number of hosts there is no pattern", key, func(a string) string { return strings.Replace(line(a, key), "127.0.", "127.*.", 1) }, ""},
		"negated": {"all but this one", key, func(a string) string {
			n := knownhosts.Normalize(a)
			return strings.Replace(n, "127.", "*.", 1) + ",!" + n + " " + authorized(key.PublicKey())
		}, unknown},
		"another host":     {"nothing is known of this one", key, func(string) string { return line("example.com:22", key) }, unknown},
		"the other port":   {"another server may listen there", key, func(string) string { return line("127.0.0.1:22", key) }, unknown},
		"another key":      {"somebody is in between, or it is a new one", key, func(a string) string { return line(a, other) }, mismatch},
		"revoked":          {"even if it is named elsewhere", key, func(a string) string { return line(a, key) + "@revoked * " + authorized(key.PublicKey()) }, revoked},
		"other is revoked": {"this one is not", key, func(a string) string { return line(a, key) + "@revoked * " + authorized(other.PublicKey()) }, ""},
		"certificate":      {"its authority is known", ca.certify(key, "127.0.0.1", tomorrow), ca.line, ""},
		"of all hosts": {"an authority may be for many", ca.certify(key, "127.0.0.1", tomorrow), func(a string) string {
			return strings.Replace(ca.line(a), "127.0.0.1", "*", 1)
		}, ""},
		"unknown authority": {"anybody can make one", authority{t, other}.certify(key, "127.0.0.1", tomorrow), ca.line, invalid},
		"of other hosts": {"the authority is not for this one", ca.certify(key, "127.0.0.1", tomorrow), func(a string) string {
			return ca.line("example.com:22") + line(a, key)
		}, invalid},
		"for another name": {"as one that was copied", ca.certify(key, "example.com", tomorrow), ca.line, invalid},
		"has ended":        {"yesterday", ca.certify(key, "127.0.0.1", tomorrow.Add(-48*time.Hour)), ca.line, invalid},
		"revoked key": {"of a certificate that is fine", ca.certify(key, "127.0.0.1", tomorrow), func(a string) string {
			return ca.line(a) + "@revoked * " + authorized(key.PublicKey())
		}, invalid},
		"revoked authority": {"with all that it signed", ca.certify(key, "127.0.0.1", tomorrow), func(a string) string {
			return ca.line(a) + "@revoked * " + authorized(ca.signer.PublicKey())
		}, invalid},
		"no certificate": {"only certificates are known of it", key, ca.line, mismatch},
		"both":           {"while certificates are introduced", key, func(a string) string { return ca.line(a) + line(a, key) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gittest.NewSSH(t, tc.key)
			err := dial(t, server, map[string][]byte{"identity": server.Identity, "known_hosts": []byte(tc.hosts(server.Address))}, nil)
			expect(t, err, tc.text, true)
			if tc.text == unknown || tc.text == mismatch {
				_, port, _ := net.SplitHostPort(server.Address)
				if !strings.Contains(err.Error(), "[127.0.0.1]:"+port) || !strings.Contains(err.Error(), "ssh-keyscan -p "+port+" 127.0.0.1") {
					t.Errorf("it names neither the host nor what to do: %v", err)
				}
			}
			if tc.text != "" && len(server.Users()) > 0 {
				t.Errorf("it logged in all the same: %s", tc.reason)
			}
		})
	}
}

func line(address string, key gossh.Signer) string {
	return knownhosts.Line([]string{address}, key.PublicKey()) + "\n"
}

// TestServerWithSeveralKeys: it shows one of the kind that is known.
func TestServerWithSeveralKeys(t *testing.T) {
	t.Parallel()
	keys := []gossh.Signer{
		gittest.Signer(t, gittest.NewKey(t)),
		gittest.Signer(t, gittest.MarshalKey(t, newECDSA(t, elliptic.P256()), "")),
		gittest.Signer(t, gittest.MarshalKey(t, newRSA(t), "")),
	}
	server := gittest.NewSSH(t, keys...)
	for _, key := range keys {
		secret := map[string][]byte{"identity": server.Identity, "known_hosts": []byte(line(server.Address, key))}
		if err := dial(t, server, secret, nil); err != nil {
			t.Errorf("only %s is known: %v", key.PublicKey().Type(), err)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	rsa, edwards := gittest.Signer(t, gittest.MarshalKey(t, newRSA(t), "")), gittest.Signer(t, gittest.NewKey(t))
	for name, tc := range map[string]struct {
		reason     string
		server     func(*gossh.ServerConfig)
		algorithms ssh.Algorithms
		text       string
		login      bool
	}{
		"chosen": {"both sides have them", nil, ssh.Algorithms{
			KeyExchanges: []string{gossh.KeyExchangeCurve25519}, HostKeys: []string{gossh.KeyAlgoRSASHA256},
		}, "", false},
		"old server, by choice": {"whoever names one that is weak has his reasons", func(c *gossh.ServerConfig) {
			c.KeyExchanges = []string{gossh.InsecureKeyExchangeDH14SHA1}
		}, ssh.Algorithms{KeyExchanges: []string{gossh.InsecureKeyExchangeDH14SHA1}}, "", false},
		"old server": {"SHA-1 is not safe", func(c *gossh.ServerConfig) {
			c.KeyExchanges = []string{gossh.InsecureKeyExchangeDH1SHA1}
		}, ssh.Algorithms{}, "--ssh-kex-algos", false},
		"another host key": {"it has none of that kind", nil, ssh.Algorithms{HostKeys: []string{gossh.KeyAlgoECDSA256}}, "--ssh-hostkey-algos", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := gittest.NewSSH(t, rsa, edwards)
			if tc.server != nil {
				server.Configure(tc.server)
			}
			err := dial(t, server, server.Secret(), func(o *ssh.Options) { o.Algorithms = tc.algorithms })
			expect(t, err, tc.text, tc.login)
		})
	}
}

func TestRefusedLogins(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	secret := map[string][]byte{"identity": gittest.NewKey(t), "known_hosts": server.KnownHosts()}
	expect(t, dial(t, server, secret, func(o *ssh.Options) { o.User = "ada" }), "does not let the user ada in", true)
	expect(t, dial(t, server, secret, func(o *ssh.Options) { o.Login = ssh.Login{} }), "set spec.secretRef", true)
	server.Disturb(nil)
	if users := server.Users(); len(users) > 0 {
		t.Errorf("somebody logged in: %v", users)
	}
}

// TestProxies: SSH goes through each kind, and what a proxy does wrong is said to be the proxy's.
func TestProxies(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	for _, scheme := range []string{"http", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			proxy := gittest.NewProxy(t, scheme, "ada", "canary")
			at := func(user *url.Userinfo) func(*ssh.Options) {
				return func(o *ssh.Options) {
					u, err := url.Parse(proxy.Address)
					if err != nil {
						t.Fatal(err)
					}
					u.User = user
					o.Proxy = u
				}
			}
			if err := dial(t, server, server.Secret(), at(url.UserPassword("ada", "canary"))); err != nil || proxy.Used() != 1 {
				t.Errorf("through the proxy: %v", err)
			}
			for _, user := range []*url.Userinfo{url.UserPassword("ada", "other-canary"), nil} {
				err := dial(t, server, server.Secret(), at(user))
				var op *net.OpError
				if !errors.As(err, &op) || op.Op != "proxyconnect" && op.Op != "socks connect" || strings.Contains(err.Error(), "canary") {
					t.Errorf("with another login: %v", err)
				}
			}
			if used := proxy.Used(); used != 0 {
				t.Errorf("it made %d connections all the same", used)
			}
		})
	}
}

// TestProxyWithTLS is not parallel: it is the first here to ask whom this machine trusts, which is asked once.
func TestProxyWithTLS(t *testing.T) {
	server, proxy := gittest.NewSSH(t), gittest.NewProxy(t, "https", "ada", "canary")
	through, err := url.Parse(strings.Replace(proxy.Address, "://", "://ada:canary@", 1))
	if err != nil {
		t.Fatal(err)
	}
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trusted, proxy.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", trusted)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	at := func(o *ssh.Options) { o.Proxy = through }
	if err := dial(t, server, server.Secret(), at); err != nil || proxy.Used() != 1 {
		t.Errorf("through the proxy: %v", err)
	}
	through.Host = strings.Replace(through.Host, "127.0.0.1", "localhost", 1) // the certificate is for other names
	var op *net.OpError
	if err := dial(t, server, server.Secret(), at); !errors.As(err, &op) || op.Op != "proxyconnect" || proxy.Used() != 0 {
		t.Errorf("by a name that it has no certificate for: %v", err)
	}
}

// TestPatternsThatTakeForever: to compare a name with many stars takes time that grows with each of them. Who may write a
// Secret must not stop the controller with it.
func TestPatternsThatTakeForever(t *testing.T) {
	t.Parallel()
	server := gittest.NewSSH(t)
	bomb := strings.Repeat("*a", 30) + "b " + authorized(gittest.Signer(t, server.Identity).PublicKey())
	secret := map[string][]byte{"identity": server.Identity, "known_hosts": []byte(bomb)}
	err := dial(t, server, secret, func(o *ssh.Options) { o.Host = strings.Repeat("a", 200) })
	expect(t, err, "too many patterns with too many stars", true)
	usual := "*.example.com,git-*.*.example.org,?.* " + authorized(gittest.Signer(t, server.Identity).PublicKey())
	secret["known_hosts"] = slices.Concat(server.KnownHosts(), []byte(strings.Repeat(usual, 100)))
	if err := dial(t, server, secret, nil); err != nil {
		t.Errorf("patterns as people write them: %v", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		algorithms ssh.Algorithms
		text       string
	}{
		"none":     {ssh.Algorithms{}, ""},
		"safe":     {ssh.Algorithms{KeyExchanges: []string{"mlkem768x25519-sha256"}, HostKeys: []string{"ssh-ed25519"}}, ""},
		"weak":     {ssh.Algorithms{KeyExchanges: []string{"diffie-hellman-group1-sha1"}, HostKeys: []string{"ssh-rsa"}}, ""},
		"no such":  {ssh.Algorithms{KeyExchanges: []string{"rot13"}}, fmt.Sprintf("%q; choose from mlkem", "rot13")},
		"no such ": {ssh.Algorithms{HostKeys: []string{""}}, "--ssh-hostkey-algos"},
	} {
		if err := tc.algorithms.Validate(); (err == nil) != (tc.text == "") || err != nil && !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: got %v, want %q", name, err, tc.text)
		}
	}
}
