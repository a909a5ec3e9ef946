package notation_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	core "github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"

	verified "github.com/sluice-gitops/sluice/source-controller/internal/verify/notation"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/registry"
)

// TestSigned: both formats of signatures, by whoever the policy trusts.
func TestSigned(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		format string
		policy []byte
	}{
		"jws":  {"notation's usual format", jws.MediaTypeEnvelope, policy("strict", nil)},
		"cose": {"its other format", cose.MediaTypeEnvelope, policy("strict", nil)},
		"by name": {"the signer is who is wanted", jws.MediaTypeEnvelope, policy("strict", func(s map[string]any) {
			s["trustedIdentities"] = []string{"x509.subject: C=CH, ST=BE, O=Team, CN=release"}
		})},
		"permissive": {"less is insisted on", jws.MediaTypeEnvelope, policy("permissive", nil)},
		"audit":      {"nothing is insisted on, and all is well", jws.MediaTypeEnvelope, policy("audit", nil)},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), newAuthority()
			w.sign(a.issue("release", nil), notation.SignerSignOptions{SignatureMediaType: c.format})
			by, err := w.ask(c.policy, newAuthority(), a)
			if err != nil || !strings.Contains(by, "CN=release") {
				t.Errorf("%s: by %s, %v", c.reason, by, err)
			}
		})
	}
}

// TestTimestamps: a signature by a certificate that has expired since counts with the word of a timestamp authority.
func TestTimestamps(t *testing.T) {
	past := time.Now().AddDate(0, -3, 0)
	expired := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past.Add(-time.Hour), past.Add(time.Hour) }
	withClock := policy("strict", func(s map[string]any) { s["trustStores"] = []string{"ca:team", "tsa:clock"} })
	for name, c := range map[string]struct {
		reason string
		policy []byte
		at     time.Time // what the authority says; zero for no timestamp
		other  bool      // the authority is not in the Secret
		wants  string
	}{
		"in time":           {"it was valid then", withClock, past, false, ""},
		"too late":          {"it was over by then", withClock, past.Add(24 * time.Hour), false, "certificate is not valid now"},
		"of a stranger":     {"anybody can have a clock", withClock, past, true, "of no authority in the Secret"},
		"none":              {"nobody says when", withClock, time.Time{}, false, "timestamp is missing"},
		"not in the policy": {"the policy names no clock", policy("strict", nil), past, false, "trust store of the type tsa"},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, clock := newWorld(t), newAuthority(), newAuthority()
			w.crafted(a.issue("release", expired), w.artifact.Ref, func(r *core.SignRequest) {
				r.SigningTime = past
				if !c.at.IsZero() {
					r.Timestamper, r.TSARootCAs = clock.stamper(t, c.at), x509.NewCertPool()
					r.TSARootCAs.AddCert(clock.root)
				}
			}, nil)
			trusted := []*authority{a, clock}
			if c.other {
				trusted[1] = newAuthority()
			}
			by, err := w.ask(c.policy, trusted...)
			if c.wants != "" {
				w.refused(c.reason, by, err, c.wants)
			} else if err != nil || !strings.Contains(by, "CN=release") {
				t.Errorf("%s: by %s, %v", c.reason, by, err)
			}
		})
	}
}

// TestLevels: what each level of a policy does with a signature that nobody trusts, as in Flux. Who is let through without trust
// is not called verified.
func TestLevels(t *testing.T) {
	for level, trusted := range map[string]bool{"strict": false, "permissive": false, "audit": true, "skip": true} {
		t.Run(level, func(t *testing.T) {
			w := newWorld(t)
			w.sign(newAuthority().issue("stranger", nil), notation.SignerSignOptions{})
			by, err := w.ask(policy(level, nil), newAuthority())
			if (err == nil) != trusted || by != "" {
				t.Errorf("by %q, %v", by, err)
			}
		})
	}
	t.Run("audit, a better one behind", func(t *testing.T) {
		w, a := newWorld(t), newAuthority()
		for range 3 {
			w.sign(newAuthority().issue("stranger", nil), notation.SignerSignOptions{})
		}
		w.sign(a.issue("release", nil), notation.SignerSignOptions{})
		if by, err := w.ask(policy("audit", nil), a); err != nil || !strings.Contains(by, "CN=release") {
			t.Errorf("by %q, %v", by, err)
		}
	})
	t.Run("skip, unsigned", func(t *testing.T) {
		w := newWorld(t)
		w.asked()
		if by, err := w.ask(policy("skip", nil), newAuthority()); err != nil || by != "" || len(w.asked()) > 0 {
			t.Errorf("by %q, %v, or something was asked for", by, err)
		}
	})
	t.Run("audit, unsigned", func(t *testing.T) {
		w := newWorld(t)
		by, err := w.ask(policy("audit", nil), newAuthority())
		w.refused("there has to be a signature", by, err, "no notation signature")
	})
}

// TestS29FailsClosed: what is no signature by somebody whom the policy trusts makes nothing trusted.
func TestS29FailsClosed(t *testing.T) {
	a := newAuthority()
	yesterday := time.Now().AddDate(0, 0, -1)
	for name, c := range map[string]struct {
		reason string
		attach func(w *world)
		wants  []string
	}{
		"unsigned": {"there is nothing", func(*world) {}, []string{"no notation signature", "notation sign"}},
		"another authority": {
			"anybody can make one", func(w *world) { w.sign(newAuthority().issue("release", nil), notation.SignerSignOptions{}) },
			[]string{"only signature", "of no authority in the Secret", "*.pem or *.crt"},
		},
		"another identity": {
			"the authority knows others, too", func(w *world) { w.sign(a.issue("somebody", nil), notation.SignerSignOptions{}) },
			[]string{"CN=somebody", "trustedIdentities", `"team"`},
		},
		"of another artifact": {
			"a good signature was attached to another artifact",
			func(w *world) { w.crafted(a.issue("release", nil), w.push().Ref, nil, nil) }, []string{"another artifact", "by its digest"},
		},
		"changed": {
			"not what was signed", func(w *world) {
				w.crafted(a.issue("release", nil), w.artifact.Ref, nil, func(blob []byte) []byte {
					return []byte(strings.Replace(string(blob), `"payload":"ey`, `"payload":"eX`, 1))
				})
			}, []string{"damaged, or was changed"},
		},
		"no signature": {
			"somebody's text", func(w *world) {
				w.crafted(a.issue("release", nil), w.artifact.Ref, nil, func([]byte) []byte { return []byte("hello") })
			}, []string{"in no form that notation writes"},
		},
		"expired certificate": {
			"it was valid once", func(w *world) {
				w.crafted(a.issue("release", func(c *x509.Certificate) {
					c.NotBefore, c.NotAfter = yesterday, yesterday.Add(time.Hour)
				}), w.artifact.Ref, func(r *core.SignRequest) { r.SigningTime = yesterday.Add(time.Minute) }, nil)
			}, []string{"certificate is not valid now"},
		},
		"expired signature": {
			"whoever signed wanted an end", func(w *world) {
				w.crafted(a.issue("release", func(c *x509.Certificate) { c.NotBefore = yesterday }), w.artifact.Ref, func(r *core.SignRequest) {
					r.SigningTime, r.Expiry = yesterday.Add(time.Minute), yesterday.Add(time.Hour)
				}, nil)
			}, []string{"has expired"},
		},
		"a plugin": {
			"programs are not started", func(w *world) {
				w.crafted(a.issue("release", nil), w.artifact.Ref, func(r *core.SignRequest) {
					r.ExtendedSignedAttributes = []core.Attribute{{Key: "io.cncf.notary.verificationPlugin", Critical: true, Value: "sh"}}
				}, nil)
			}, []string{"asks for a plugin"},
		},
		"several, all bad": {
			"the one that is nearest to good is told", func(w *world) {
				w.crafted(a.issue("release", nil), w.artifact.Ref, nil, func([]byte) []byte { return []byte("hello") })
				w.sign(a.issue("somebody", nil), notation.SignerSignOptions{})
			}, []string{"none of the artifact's 2 signatures", "CN=somebody"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.attach(w)
			by, err := w.ask(policy("strict", func(s map[string]any) {
				s["trustedIdentities"] = []string{"x509.subject: C=CH, ST=BE, O=Team, CN=release"}
			}), a)
			w.refused(c.reason, by, err, c.wants...)
		})
	}
}

// TestS29OneGoodSignatureIsEnough: whoever may write to the registry cannot spoil a good one by adding others.
func TestS29OneGoodSignatureIsEnough(t *testing.T) {
	w, a := newWorld(t), newAuthority()
	for range 3 {
		w.crafted(a.issue("release", nil), w.artifact.Ref, nil, func([]byte) []byte { return []byte(rand.Text()) })
	}
	w.sign(a.issue("release", nil), notation.SignerSignOptions{})
	w.sign(newAuthority().issue("release", nil), notation.SignerSignOptions{})
	if by, err := w.ask(policy("strict", nil), a); err != nil || !strings.Contains(by, "CN=release") {
		t.Errorf("by %q, %v", by, err)
	}
}

// TestS29WhatIsTrusted: a mistake in the Secret is an error of its own, before anything is asked for.
func TestS29WhatIsTrusted(t *testing.T) {
	good := newAuthority().pem()
	for name, c := range map[string]struct {
		reason string
		data   map[string][]byte
		wants  []string
	}{
		"no policy":      {"notation has none by default", map[string][]byte{"ca.crt": good}, []string{"trustpolicy.json"}},
		"no JSON":        {"a typo", map[string][]byte{"trustpolicy.json": []byte("{"), "ca.crt": good}, []string{"trustpolicy.json", "no JSON"}},
		"no statement":   {"an empty policy", map[string][]byte{"trustpolicy.json": []byte("{}"), "ca.crt": good}, []string{"trustpolicy.json", "version"}},
		"unknown level":  {"a typo", map[string][]byte{"trustpolicy.json": policy("strickt", nil), "ca.crt": good}, []string{"trustpolicy.json", "strickt"}},
		"no certificate": {"nobody to trust", map[string][]byte{"trustpolicy.json": policy("strict", nil), "ca.key": good}, []string{".pem or .crt"}},
		"broken certificate": {
			"a typo", map[string][]byte{"trustpolicy.json": policy("strict", nil), "a.crt": good, "b.pem": []byte("x")}, []string{"b.pem", "no certificate"},
		},
		"empty certificate": {
			"nothing in the file", map[string][]byte{"trustpolicy.json": policy("strict", nil), "b.pem": {}}, []string{"b.pem", "no certificate"},
		},
		"another scope": {
			"the policy is for other artifacts", map[string][]byte{"ca.crt": good, "trustpolicy.json": policy("strict", func(s map[string]any) {
				s["registryScopes"] = []string{"registry.example.com/team/app"}
			})}, []string{"no policy for 127.0.0.1", "/team/app", "registryScopes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.asked()
			trust, err := verified.Secret(c.data)
			by := ""
			if err == nil {
				by, err = verified.Verify(t.Context(), w.artifact, trust)
			}
			w.refused(c.reason, by, err, c.wants...)
			if asked := w.asked(); len(asked) > 0 {
				t.Errorf("%s: asked for %v", c.reason, asked)
			}
		})
	}
}

// TestCertificatesOfASecret: several in one file, and DER.
func TestCertificatesOfASecret(t *testing.T) {
	w, a := newWorld(t), newAuthority()
	w.sign(a.issue("release", nil), notation.SignerSignOptions{})
	for name, file := range map[string][]byte{
		"several": append(append([]byte("# a comment\n"), newAuthority().pem()...), a.pem()...), "DER": a.root.Raw,
	} {
		trust, err := verified.Secret(map[string][]byte{"trustpolicy.json": policy("strict", nil), "ca.pem": file, "ca.key": {}})
		if err != nil {
			t.Fatal(err)
		}
		if by, err := verified.Verify(t.Context(), w.artifact, trust); err != nil || by == "" {
			t.Errorf("%s: by %q, %v", name, by, err)
		}
	}
}

// TestS29EndlessSignatures: reading ends at a limit, whatever a registry has.
func TestS29EndlessSignatures(t *testing.T) {
	a := newAuthority()
	for name, c := range map[string]struct {
		limits   registry.Limits
		answer   func(out http.ResponseWriter, in *http.Request)
		requests int
		wants    []string
	}{
		"1000": {registry.Limits{}, func(out http.ResponseWriter, _ *http.Request) { listing(out, 1000, 10) }, 110, []string{"more than 100 signatures"}},
		"pages without end": {registry.Limits{}, func(out http.ResponseWriter, in *http.Request) {
			out.Header().Set("Link", fmt.Sprintf(`<%s?next=1>; rel="next"`, in.URL.Path))
			listing(out, 0, 0)
		}, 360, []string{"more than 350 requests"}},
		"large ones":   {registry.Limits{}, func(out http.ResponseWriter, _ *http.Request) { listing(out, 2, 64<<20) }, 10, []string{"in no form that notation"}},
		"a large list": {registry.Limits{Bytes: 1 << 10}, func(out http.ResponseWriter, _ *http.Request) { listing(out, 50, 10) }, 10, []string{"signatures of the artifact have more than"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.artifact.Limits = c.limits
			w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
				if !strings.Contains(in.URL.Path, "/referrers/") {
					return false
				}
				c.answer(out, in)
				return true
			})
			w.asked()
			by, err := w.ask(policy("strict", nil), a)
			w.refused(name, by, err, c.wants...)
			if asked := w.asked(); len(asked) > c.requests {
				t.Errorf("%d requests", len(asked))
			}
		})
	}
}

// listing is a page of signatures that are nowhere.
func listing(out http.ResponseWriter, n, size int) {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":`+
			`"application/vnd.cncf.notary.signature","size":%d,"digest":"sha256:%064x"}`, size, i))
	}
	out.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	fmt.Fprintf(out, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}`, strings.Join(list, ","))
}

// TestS29RegistryFails: a registry that fails while it is asked makes nothing trusted. Nothing that it says is repeated.
func TestS29RegistryFails(t *testing.T) {
	const leak = "TOKEN-IN-THE-ANSWER"
	for name, c := range map[string]struct {
		path   string
		status int
		wants  []string
	}{
		"login":     {"/v2/", 403, []string{"status 403", "right to pull"}},
		"anonymous": {"/v2/", 401, []string{"status 401", "right to pull"}},
		"list":      {"/referrers/", 500, []string{"status 500", "problem of its own"}},
		"too often": {"/referrers/", 429, []string{"status 429", "fewer requests"}},
		"signature": {"/blobs/", 502, []string{"status 502"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), newAuthority()
			w.sign(a.issue("release", nil), notation.SignerSignOptions{})
			w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
				if !strings.Contains(in.URL.Path, c.path) {
					return false
				}
				out.WriteHeader(c.status)
				fmt.Fprintf(out, `{"errors":[{"code":"DENIED","message":%q}]}`, leak)
				return true
			})
			by, err := w.ask(policy("strict", nil), a)
			w.refused(name, by, err, c.wants...)
			if strings.Contains(err.Error(), leak) {
				t.Errorf("what the registry said is repeated: %v", err)
			}
		})
	}
	t.Run("hangs", func(t *testing.T) {
		w, a := newWorld(t), newAuthority()
		ctx, cancel := context.WithCancel(t.Context())
		w.breaks(func(_ http.ResponseWriter, in *http.Request) bool {
			cancel()
			<-in.Context().Done()
			return true
		})
		by, err := verified.Verify(ctx, w.artifact, verified.Trust{
			Policy: policy("strict", nil), Certificates: map[string][]byte{"a.crt": a.pem()},
		})
		w.refused("the context ends the wait", by, err)
	})
}

// TestRevocation: whether a certificate was revoked is asked where it says, for those by an authority that is trusted.
func TestRevocation(t *testing.T) {
	for name, c := range map[string]struct {
		reason  string
		level   string
		revoked bool
		status  int
		other   bool // the authority is not trusted
		asked   bool
		wants   string
	}{
		"good":                  {"it was not revoked", "strict", false, 200, false, true, ""},
		"revoked":               {"its key was lost", "strict", true, 200, false, true, "was revoked"},
		"nobody knows":          {"the server is down", "strict", false, 503, false, true, "cannot be found out"},
		"revoked, permissive":   {"the policy does not insist", "permissive", true, 200, false, true, ""},
		"of a stranger, strict": {"the stranger's server is nobody's business", "strict", false, 200, true, false, "of no authority"},
		"of a stranger, audit":  {"nor when all is let through", "audit", false, 200, true, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), newAuthority()
			var asked atomic.Int64
			var list []byte
			lists := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				out.WriteHeader(c.status)
				_, _ = out.Write(list)
			}))
			defer lists.Close()
			by := a.issue("release", func(cert *x509.Certificate) { cert.CRLDistributionPoints = []string{lists.URL + "/list.crl"} })
			template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
			if c.revoked {
				template.RevokedCertificateEntries = []x509.RevocationListEntry{
					{SerialNumber: by.chain[0].SerialNumber, RevocationTime: time.Now().Add(-time.Minute)},
				}
			}
			list = must(x509.CreateRevocationList(rand.Reader, template, a.root, a.key))
			w.sign(by, notation.SignerSignOptions{})
			trusted := a
			if c.other {
				trusted = newAuthority()
			}
			who, err := w.ask(policy(c.level, nil), trusted)
			if c.wants != "" {
				w.refused(c.reason, who, err, c.wants)
			} else if err != nil {
				t.Errorf("%s: %v", c.reason, err)
			}
			if (asked.Load() > 0) != c.asked {
				t.Errorf("%s: asked %d times", c.reason, asked.Load())
			}
		})
	}
}

// TestS25OnlyWhatIsGivenIsUsed: neither the environment nor a home folder has a say, and the login goes to the registry alone.
func TestS25OnlyWhatIsGivenIsUsed(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("DOCKER_CONFIG", home)
	w, a := newWorld(t), newAuthority()
	w.sign(a.issue("release", nil), notation.SignerSignOptions{})
	usual, logins := http.DefaultTransport, 0
	t.Cleanup(func() { http.DefaultTransport = usual })
	http.DefaultTransport = roundTripper(func(req *http.Request) (*http.Response, error) {
		t.Errorf("asked %s behind the back", req.URL.Host)
		return usual.RoundTrip(req)
	})
	w.artifact.Auth = &authn.Basic{Username: "robot", Password: "secret"}
	w.artifact.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		_, _, ok := req.BasicAuth()
		switch {
		case req.URL.Host == w.artifact.Ref.RegistryStr() && ok:
			logins++
		case ok:
			t.Errorf("%s got the login", req.URL.Host)
		}
		return usual.RoundTrip(req)
	})
	// Blobs are elsewhere, as with most registries; that host wants a login of its own, and gets none.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("WWW-Authenticate", `Basic realm="elsewhere"`)
		out.WriteHeader(http.StatusUnauthorized)
	}))
	defer elsewhere.Close()
	w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
		if user, _, _ := in.BasicAuth(); user != "robot" {
			out.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			out.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if strings.Contains(in.URL.Path, "/blobs/") {
			http.Redirect(out, in, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	by, err := w.ask(policy("strict", nil), a)
	w.refused("the blob cannot be had", by, err, "status 401")
	if logins == 0 {
		t.Error("the login that was given was not used")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
