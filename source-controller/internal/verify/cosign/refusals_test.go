package cosign_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	ggcrmutate "github.com/google/go-containerregistry/pkg/v1/mutate"
	ggcrstatic "github.com/google/go-containerregistry/pkg/v1/static"
	ggcrtypes "github.com/google/go-containerregistry/pkg/v1/types"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/verify/cosign"
	"github.com/sluice-gitops/sluice/source-controller/internal/verify/registry"
)

// fake is a layer as cosign 2 writes one, with a signature that nobody made.
func fake(payload []byte, kind string) ggcrmutate.Addendum {
	return ggcrmutate.Addendum{
		Layer:       ggcrstatic.NewLayer(payload, ggcrtypes.MediaType(kind)),
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString([]byte("nobody"))},
	}
}

const layerType = "application/vnd.dev.cosign.simplesigning.v1+json"

// TestS29KeysFailClosed: what is no signature by one of the keys makes nothing trusted, and the message says what to do.
func TestS29KeysFailClosed(t *testing.T) {
	key, pem := keypair(protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256)
	stranger := newKey()
	for name, c := range map[string]struct {
		reason string
		attach func(w *world)
		wants  []string
	}{
		"unsigned":              {"there is nothing", func(*world) {}, []string{"no cosign signature", "sign it"}},
		"another key, cosign 2": {"it is by somebody else", func(w *world) { w.attachLayer(w.artifact, layerWith(stranger, claim(w.artifact.Ref))) }, []string{"only signature", "none of the keys", "cosign.pub", "spec.verify.secretRef"}},
		"another key, cosign 3": {
			"it is by somebody else", func(w *world) {
				other, _ := keypair(protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256)
				w.attach(w.artifact, bundleWith(other, w.artifact.Ref.DigestStr()))
			}, []string{"none of the keys", "cosign.pub"},
		},
		"of another artifact, cosign 2": {
			"a good signature was copied to where this artifact's are looked for",
			func(w *world) { w.attachLayer(w.artifact, layerBy(key, claim(w.push().Ref))) },
			[]string{"another artifact", "by its digest"},
		},
		"of another artifact, cosign 3": {
			"a good bundle refers to this artifact, and its statement does not",
			func(w *world) { w.attach(w.artifact, bundleWith(key, w.push().Ref.DigestStr())) },
			[]string{"another artifact"},
		},
		"changed": {
			"what is signed is not what the signature is of",
			func(w *world) {
				w.attach(w.artifact, []byte(strings.Replace(string(bundleWith(key, w.artifact.Ref.DigestStr())), `"payload":"ey`, `"payload":"eC`, 1)))
			},
			[]string{"none of the keys"},
		},
		"a claim of another sort": {
			"whoever has the key said something else about the artifact", func(w *world) {
				other := bytes.Replace(claim(w.artifact.Ref), []byte("cosign container image signature"), []byte("this one is broken"), 1)
				w.attachLayer(w.artifact, layerBy(key, other))
			}, []string{"in no form that cosign"},
		},
		"unknown media type": {
			"a layer of a kind that cosign never wrote", func(w *world) { w.attachManifest(w.artifact, fake(claim(w.artifact.Ref), "text/plain")) },
			[]string{"in no form that cosign"},
		},
		"no signature in the layer": {
			"the claim alone is worth nothing", func(w *world) {
				w.attachManifest(w.artifact, ggcrmutate.Addendum{Layer: ggcrstatic.NewLayer(claim(w.artifact.Ref), layerType)})
			}, []string{"in no form that cosign"},
		},
		"no claim in the layer": {
			"somebody's text", func(w *world) { w.attachManifest(w.artifact, fake([]byte("hello"), layerType)) }, []string{"in no form that cosign"},
		},
		"broken bundle": {"half a bundle", func(w *world) { w.attach(w.artifact, []byte(`{"mediaType":`)) }, []string{"in no form that cosign"}},
		"a certificate instead": {
			"keyless, and a key is wanted", func(w *world) {
				w.attach(w.artifact, newInstance(w.t).bundle(signer{subject: workflow, issuer: issuer}, w.artifact.Ref.DigestStr()))
			}, []string{"certificate (keyless)", "matchOIDCIdentity"},
		},
		"several, all bad": {
			"the one that is nearest to good is told", func(w *world) {
				w.attach(w.artifact, []byte(`{}`))
				w.attachLayer(w.artifact, layerWith(stranger, claim(w.artifact.Ref)))
			}, []string{"none of the artifact's 2 signatures", "none of the keys"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			c.attach(w)
			w.refused(c.reason, cosign.Trust{Keys: map[string][]byte{"cosign.pub": pem}}, c.wants...)
		})
	}
}

// refused asks, and wants a message with some words.
func (w *world) refused(reason string, trust cosign.Trust, wants ...string) {
	w.t.Helper()
	by, err := cosign.Verify(w.t.Context(), w.artifact, trust)
	if err == nil {
		w.t.Fatalf("%s: trusted, by %s", reason, by)
	}
	if by != "" {
		w.t.Errorf("%s: by %s in spite of %v", reason, by, err)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			w.t.Errorf("%s: the message does not say %q: %v", reason, want, err)
		}
	}
	w.t.Log(err)
}

// TestS29KeylessFailsClosed: each proof that the trusted root can ask for is asked for.
func TestS29KeylessFailsClosed(t *testing.T) {
	past := time.Now().Add(-50 * time.Minute)
	for name, c := range map[string]struct {
		reason string
		signer signer
		lists  lists
		other  func(trusted, signing *instance) // makes what signs differ from what is trusted
		wants  []string
	}{
		"another instance": {
			"nothing of it is trusted", signer{}, lists{}, func(_, _ *instance) {}, []string{"transparency logs in the trusted root"},
		},
		"another authority": {
			"the log takes signatures with anybody's certificate", signer{}, lists{},
			func(trusted, signing *instance) {
				signing.virtual, signing.certificateLog = trusted.virtual, trusted.certificateLog
			},
			[]string{"of no authority in the trusted root"},
		},
		"another log of certificates": {
			"the certificate is in a log that nobody watches", signer{}, lists{},
			func(trusted, signing *instance) {
				*signing = *trusted
				signing.certificateLog = newKey()
			}, []string{"certificate transparency log"},
		},
		"in no log of certificates": {"the authority gave it in secret", signer{unlisted: true}, lists{}, nil, []string{"certificate transparency log"}},
		"in no log":                 {"the signature was made in secret", signer{unlogged: true}, lists{}, nil, []string{"transparency logs in the trusted root"}},
		"in no log, stamped":        {"a time does not make up for the log", signer{unlogged: true, stamped: true}, lists{}, nil, []string{"transparency logs"}},
		"expired, without a time": {
			"nobody knows whether the key was still its owner's", signer{from: past, unlogged: true}, lists{noLog: true}, nil,
			[]string{"no proof of when it was made"},
		},
		"expired, and stamped later": {
			"the certificate was over when it signed", signer{from: past, unlogged: true, stamped: true}, lists{noLog: true}, nil,
			[]string{"was not valid when the signature was made"},
		},
		"expired, and logged later": {
			"the certificate was over when the log took the signature", signer{from: past, at: past.Add(20 * time.Minute)}, lists{}, nil,
			[]string{"was not valid when the signature was made"},
		},
		"another subject": {
			"a stranger's workflow", signer{subject: "https://github.com/stranger/app/.github/workflows/x.yaml@refs/heads/main"}, lists{}, nil,
			[]string{"stranger/app", "who is not in spec.verify.matchOIDCIdentity"},
		},
		"another issuer": {"the same name, by somebody else's word", signer{issuer: "https://login.example.com"}, lists{}, nil, []string{"login.example.com", "matchOIDCIdentity"}},
	} {
		for way, attach := range ways() {
			t.Run(name+", "+way, func(t *testing.T) {
				w, trusted := newWorld(t, true), newInstance(t)
				signing := trusted
				if c.other != nil {
					signing = newInstance(t)
					c.other(trusted, signing)
				}
				s := c.signer
				if s.subject == "" {
					s.subject = workflow
				}
				if s.issuer == "" {
					s.issuer = issuer
				}
				attach(w, signing, s)
				w.refused(c.reason, cosign.Trust{
					TrustedRoot: trusted.trustedRoot(c.lists),
					Identities:  []cosign.Identity{{Issuer: "^" + issuer + "$", Subject: "^https://github.com/team/app/"}},
				}, c.wants...)
			})
		}
	}
}

// TestS29WhatIsTrusted: a mistake in the spec or in a Secret is an error of its own, before anything is asked for.
func TestS29WhatIsTrusted(t *testing.T) {
	i := newInstance(t)
	good := i.trustedRoot(lists{})
	for name, c := range map[string]struct {
		reason string
		trust  cosign.Trust
		wants  []string
	}{
		"no keys":          {"an empty Secret is not keyless", cosign.Trust{Keys: map[string][]byte{}, TrustedRoot: good}, []string{".pub"}},
		"no key":           {"a value that is none", cosign.Trust{Keys: map[string][]byte{"a.pub": public(newKey()), "b.pub": []byte("x")}}, []string{"b.pub", "no public key", "PEM"}},
		"issuer":           {"no expression", cosign.Trust{TrustedRoot: good, Identities: []cosign.Identity{{}, {Issuer: "("}}}, []string{"matchOIDCIdentity[1].issuer", "regular expression"}},
		"subject":          {"no expression", cosign.Trust{TrustedRoot: good, Identities: []cosign.Identity{{Subject: "*"}}}, []string{"matchOIDCIdentity[0].subject"}},
		"broken root":      {"no JSON", cosign.Trust{TrustedRoot: []byte("x")}, []string{"trusted_root.json", "\"cosign trusted-root create\""}},
		"empty root":       {"an empty value is not the public instance", cosign.Trust{TrustedRoot: []byte{}}, []string{"trusted_root.json"}},
		"no authority":     {"nobody gives certificates", cosign.Trust{TrustedRoot: i.trustedRoot(lists{noAuthority: true})}, []string{"no certificate authority"}},
		"no log, no stamp": {"nothing says when", cosign.Trust{TrustedRoot: i.trustedRoot(lists{noLog: true, noTime: true})}, []string{"neither a transparency log nor a timestamp authority"}},
		"no root":          {"the public instance is not wanted here", cosign.Trust{}, []string{"needs a trusted root"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.asked()
			w.refused(c.reason, c.trust, c.wants...)
			if asked := w.asked(); len(asked) > 0 {
				t.Errorf("%s: asked for %v", c.reason, asked)
			}
		})
	}
}

// TestKeysOfASecret: every value whose name ends in .pub.
func TestKeysOfASecret(t *testing.T) {
	keys, err := cosign.Keys(map[string][]byte{"a.pub": nil, "b.pub": nil, "cosign.key": nil, "pub": nil})
	if got := slices.Sorted(maps.Keys(keys)); err != nil || !slices.Equal(got, []string{"a.pub", "b.pub"}) {
		t.Errorf("%v, %v", got, err)
	}
	if keys, err := cosign.Keys(map[string][]byte{"cosign.key": nil}); err == nil || keys != nil {
		t.Errorf("no key: %v, %v", keys, err)
	}
}

// TestS29OneGoodSignatureIsEnough: whoever may write to the registry cannot spoil a good one by adding others.
func TestS29OneGoodSignatureIsEnough(t *testing.T) {
	pair, pem := keypair(protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256)
	for name, attach := range map[string]func(w *world){
		"after broken bundles": func(w *world) {
			w.attach(w.artifact, []byte(`{}`))
			w.attach(w.artifact, bundleWith(pair, w.artifact.Ref.DigestStr()))
			w.attach(w.artifact, []byte(`[]`))
		},
		"in a bundle beside a layer by a stranger": func(w *world) {
			w.attachLayer(w.artifact, layerWith(newKey(), claim(w.artifact.Ref)))
			w.attach(w.artifact, bundleWith(pair, w.artifact.Ref.DigestStr()))
		},
		"beside something that is no bundle": func(w *world) {
			w.attach(w.artifact, bundleWith(pair, w.artifact.Ref.DigestStr()))
			w.attachManifest(w.artifact, fake([]byte("hello"), "text/plain"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			attach(w)
			w.signedBy(pem)
		})
	}
}

// TestS29EndlessSignatures: reading ends at a limit, whatever a registry has.
func TestS29EndlessSignatures(t *testing.T) {
	trust := cosign.Trust{Keys: map[string][]byte{"cosign.pub": public(newKey())}}
	many := func(w *world) {
		var layers []ggcrmutate.Addendum
		for n := range 1000 {
			layers = append(layers, fake(fmt.Appendf(nil, `{"n":%d}`, n), layerType))
		}
		w.attachManifest(w.artifact, layers...)
	}
	for name, c := range map[string]struct {
		limits   registry.Limits
		attach   func(w *world)
		requests int
		wants    []string
	}{
		"1000 in layers": {registry.Limits{}, many, 110, []string{"more than 100 signatures", "remove"}},
		"1000 bundles": {registry.Limits{}, func(w *world) {
			w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
				if !strings.Contains(in.URL.Path, "/referrers/") {
					return false
				}
				var list []string
				for n := range 1000 {
					list = append(list, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"sha256:%064x"}`, n))
				}
				out.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
				fmt.Fprintf(out, `{"schemaVersion":2,"manifests":[%s]}`, strings.Join(list, ","))
				return true
			})
		}, 110, []string{"more than 100 signatures"}},
		"a large one": {registry.Limits{Signature: 1 << 10}, func(w *world) {
			w.attach(w.artifact, []byte(strings.Repeat("x", 2<<10)))
		}, 4, []string{"larger than 1 KiB"}},
		"a large list": {registry.Limits{Bytes: 1 << 20}, func(w *world) {
			w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
				if !strings.Contains(in.URL.Path, "/referrers/") {
					return false
				}
				out.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
				_, _ = io.Copy(out, io.LimitReader(spaces{}, 2<<20))
				return true
			})
		}, 10, []string{"more than 1 MiB"}},
		"redirects without end": {registry.Limits{Signatures: 1}, func(w *world) {
			w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
				if !strings.Contains(in.URL.Path, "/referrers/") {
					return false
				}
				http.Redirect(out, in, in.URL.Path, http.StatusFound)
				return true
			})
		}, 60, []string{"more than 53 requests"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.artifact.Limits = c.limits
			c.attach(w)
			w.asked()
			w.refused(name, trust, c.wants...)
			if asked := w.asked(); len(asked) > c.requests {
				t.Errorf("%d requests", len(asked))
			}
		})
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestS29RegistryFails: a registry that fails while it is asked makes nothing trusted, and is not taken for one without
// signatures. Nothing that it says is repeated.
func TestS29RegistryFails(t *testing.T) {
	const leak = "TOKEN-IN-THE-ANSWER"
	pair, pem := keypair(protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256)
	status := func(code int) func(http.ResponseWriter) {
		return func(out http.ResponseWriter) {
			out.WriteHeader(code)
			fmt.Fprintf(out, `{"errors":[{"code":"DENIED","message":%q}]}`, leak)
		}
	}
	other := func(out http.ResponseWriter) {
		out.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		fmt.Fprintf(out, `{"schemaVersion":2,"layers":[],"annotations":{"x":%q}}`, leak)
	}
	gone := func(out http.ResponseWriter) {
		conn, _, err := http.NewResponseController(out).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}
	for name, c := range map[string]struct {
		reason string
		path   string
		answer func(http.ResponseWriter)
		wants  []string
	}{
		"login":                 {"refused at the door", "/v2/", status(403), []string{"status 403", "right to pull"}},
		"login wanted":          {"anonymous is not enough", "/v2/team", status(401), []string{"status 401", "right to pull"}},
		"list":                  {"its own problem", "/referrers/", status(500), []string{"status 500", "problem of its own"}},
		"list, too often":       {"asked too often", "/referrers/", status(429), []string{"status 429", "fewer requests"}},
		"list, broken off":      {"the connection ends", "/referrers/", gone, []string{"closed the connection"}},
		"bundle":                {"its own problem", "/manifests/sha256:", status(503), []string{"status 503"}},
		"bundle of another sum": {"not what was asked for", "/manifests/sha256:", other, []string{"no signature of the artifact, or not whole"}},
		"content":               {"its own problem", "/blobs/", status(502), []string{"status 502"}},
		"content of another sum": {
			"not what was asked for", "/blobs/", func(out http.ResponseWriter) { fmt.Fprint(out, leak) },
			[]string{"no signature of the artifact, or not whole"},
		},
		"layers":            {"its own problem, after a list of bundles without a good one", ".sig", status(500), []string{"status 500"}},
		"layers, forbidden": {"the login may not", ".sig", status(403), []string{"status 403"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			if c.path != ".sig" {
				w.attach(w.artifact, bundleWith(pair, w.artifact.Ref.DigestStr()))
			}
			w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
				hit := strings.Contains(in.URL.Path, c.path) && (c.path != "/v2/" || in.URL.Path == c.path)
				if hit {
					c.answer(out)
				}
				return hit
			})
			w.asked()
			w.refused(c.reason, cosign.Trust{Keys: map[string][]byte{"cosign.pub": pem}}, c.wants...)
			if asked := w.asked(); len(asked) > 5 {
				t.Errorf("%s: asked again and again: %v", c.reason, asked)
			}
			_, err := cosign.Verify(t.Context(), w.artifact, cosign.Trust{Keys: map[string][]byte{"cosign.pub": pem}})
			if strings.Contains(err.Error(), leak) {
				t.Errorf("what the registry said is repeated: %v", err)
			}
		})
	}
}

// TestS29RegistryHangs: the context ends the wait.
func TestS29RegistryHangs(t *testing.T) {
	w := newWorld(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	w.breaks(func(_ http.ResponseWriter, in *http.Request) bool {
		cancel()
		<-in.Context().Done()
		return true
	})
	if by, err := cosign.Verify(ctx, w.artifact, cosign.Trust{Keys: map[string][]byte{"cosign.pub": public(newKey())}}); err == nil {
		t.Fatalf("trusted, by %s", by)
	}
	past, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err := cosign.Verify(past, w.artifact, cosign.Trust{Keys: map[string][]byte{"cosign.pub": public(newKey())}})
	if err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("no time left: %v", err)
	}
}

// TestOldRegistries: answers by which registries say that they keep no list of what refers to an artifact.
func TestOldRegistries(t *testing.T) {
	key := newKey()
	for _, status := range []int{400, 403, 404, 405, 406, 501} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			w := newWorld(t, true)
			w.attachLayer(w.artifact, layerWith(key, claim(w.artifact.Ref)))
			w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
				if strings.Contains(in.URL.Path, "/referrers/") {
					out.WriteHeader(status)
					return true
				}
				return false
			})
			w.signedBy(public(key))
		})
	}
}

// TestS25OnlyWhatIsGivenIsUsed: neither the environment nor a home folder has a say, and nothing but the registry is asked.
func TestS25OnlyWhatIsGivenIsUsed(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("DOCKER_CONFIG", home)
	t.Setenv("COSIGN_REPOSITORY", "registry.invalid/elsewhere")
	t.Setenv("SIGSTORE_ROOT_FILE", "/nowhere")
	w, i := newWorld(t, true), newInstance(t)
	w.attach(w.artifact, i.bundle(signer{subject: workflow, issuer: issuer}, w.artifact.Ref.DigestStr()))
	usual, logins := http.DefaultTransport, 0
	t.Cleanup(func() { http.DefaultTransport = usual })
	http.DefaultTransport = roundTripper(func(req *http.Request) (*http.Response, error) {
		t.Errorf("asked %s behind the back", req.URL.Host)
		return usual.RoundTrip(req)
	})
	w.artifact.Auth = &authn.Basic{Username: "robot", Password: "secret"}
	w.artifact.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Host != w.artifact.Ref.RegistryStr() {
			t.Errorf("asked %s", req.URL.Host)
		}
		if _, _, ok := req.BasicAuth(); ok {
			logins++
		}
		return usual.RoundTrip(req)
	})
	w.breaks(func(out http.ResponseWriter, in *http.Request) bool {
		if user, _, _ := in.BasicAuth(); user == "robot" {
			return false
		}
		out.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		out.WriteHeader(http.StatusUnauthorized)
		return true
	})
	if _, err := cosign.Verify(t.Context(), w.artifact, cosign.Trust{TrustedRoot: i.trustedRoot(lists{})}); err != nil {
		t.Fatal(err)
	}
	if logins == 0 {
		t.Error("the login that was given was not used")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
