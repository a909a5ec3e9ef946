package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	billy "github.com/go-git/go-billy/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

// upload is git-upload-pack on a server: it lists references, and answers fetches.
type upload interface {
	AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error)
	UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
	Close() error
}

// Session is one conversation with one repository: at most one advertisement, then at most a few fetches. It is for one
// goroutine.
type Session struct {
	// host is the server's name alone.
	host        string
	peer        wire.Peer
	credentials Credentials
	upload      upload
	advertised  *packp.AdvRefs
	limits      Limits
	bounded     *bounded
}

// Open prepares a session; nothing is sent before [Session.Advertise]. Close must be called.
func (c *Client) Open(address string, cred Credentials) (*Session, error) {
	endpoint, err := transport.NewEndpoint(strings.TrimRight(address, "/"))
	if err != nil {
		return nil, errors.New("the repository's address is not a URL")
	}
	user := endpoint.User
	// A user name in the address may be a token: it goes where credentials go, and no further.
	endpoint.User, endpoint.Password = "", ""
	s := &Session{
		host: endpoint.Host, limits: c.limits, bounded: &bounded{limits: c.limits},
		peer: wire.Peer{Host: shown(endpoint), TLS: cred.TLS, TLSField: loginField, Proxy: cred.Proxy},
	}
	if endpoint.Protocol == "ssh" {
		s.credentials, s.upload = cred, c.openSSH(endpoint, user, cred, s.bounded)
		return s, nil
	}
	if s.credentials, err = cred.orUser(user); err != nil {
		return nil, err
	}
	s.upload, err = c.openHTTP(endpoint, s.peer, s.credentials, s.bounded)
	return s, err
}

// shown is a server as messages show it.
func shown(endpoint *transport.Endpoint) string {
	usual := map[string]int{"http": 80, "https": 443, "ssh": sshPort}
	if endpoint.Port == 0 || endpoint.Port == usual[endpoint.Protocol] {
		return endpoint.Host
	}
	return endpoint.Host + ":" + strconv.Itoa(endpoint.Port)
}

// Close ends the session.
func (s *Session) Close() { _ = s.upload.Close() } // what it sent is stored, or of no use

// Received is how many bytes the server has sent: of its answers, without what is around them.
func (s *Session) Received() int64 { return s.bounded.received.Load() }

// Advertise asks what the repository has: one request.
func (s *Session) Advertise(ctx context.Context) (plan.Advertised, error) {
	adv, err := s.upload.AdvertisedReferencesContext(ctx)
	if err != nil {
		return plan.Advertised{}, s.describe(ctx, err)
	}
	s.advertised = adv
	out := plan.Advertised{Refs: make(map[string]string, len(adv.References)+1), Peeled: map[string]string{}}
	for name, hash := range adv.References {
		out.Refs[name] = hash.String()
	}
	for name, hash := range adv.Peeled {
		out.Peeled[name] = hash.String()
	}
	if adv.Head != nil {
		out.Refs["HEAD"] = adv.Head.String()
	}
	out.Head = headBranch(adv)
	return out, nil
}

// headBranch is what the server says that HEAD points at.
func headBranch(adv *packp.AdvRefs) string {
	for _, link := range adv.Capabilities.Get(capability.SymRef) {
		if branch, ok := strings.CutPrefix(link, "HEAD:"); ok {
			return branch
		}
	}
	return ""
}

// wants is what to ask for to get a target with the least data; empty if the server only gives what it advertises, and
// that does not include it.
func (s *Session) wants(t plan.Target) []plumbing.Hash {
	if t.Object != "" {
		return []plumbing.Hash{plumbing.NewHash(t.Object)}
	}
	commit := plumbing.NewHash(t.Commit)
	if s.givesAnyCommit() || s.advertised.Capabilities.Supports(capability.AllowTipSHA1InWant) {
		return []plumbing.Hash{commit}
	}
	for _, hash := range s.advertised.References {
		if hash == commit {
			return []plumbing.Hash{commit}
		}
	}
	return nil
}

// givesAnyCommit is set when the server gives away every commit that is in the history of something it advertises.
func (s *Session) givesAnyCommit() bool {
	return s.advertised.Capabilities.Supports(capability.AllowReachableSHA1InWant)
}

// everything is what to ask for to find a commit anywhere in a target's branch, or anywhere if it has none.
func (s *Session) everything(t plan.Target) []plumbing.Hash {
	if tip, ok := s.advertised.References[t.Ref]; ok {
		return []plumbing.Hash{tip}
	}
	seen := map[plumbing.Hash]bool{}
	var all []plumbing.Hash
	for _, hash := range s.advertised.References {
		if !seen[hash] {
			seen[hash] = true
			all = append(all, hash)
		}
	}
	return all
}

// objects is a store that a fetch fills.
type objects interface {
	storer.PackfileWriter
	SetShallow([]plumbing.Hash) error
	Shallow() ([]plumbing.Hash, error)
	EncodedObject(plumbing.ObjectType, plumbing.Hash) (plumbing.EncodedObject, error)
	Filesystem() billy.Filesystem
}

// fetch asks for objects and stores them. haves are the commits that the store has already; without history only the wanted
// commits themselves come.
func (s *Session) fetch(ctx context.Context, into objects, wants, haves []plumbing.Hash, history bool) error {
	req := packp.NewUploadPackRequestFromCapabilities(s.advertised.Capabilities)
	req.Wants = wants
	if s.advertised.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return fmt.Errorf("ask for objects: %w", err)
		}
	}
	if demandsMultiACK(s.host) {
		if err := req.Capabilities.Set(capability.MultiACKDetailed); err != nil {
			return fmt.Errorf("ask for objects: %w", err)
		}
	}
	store := receive
	if req.Haves = haves; len(haves) > 0 {
		// Every server has it; go-git, which cannot read such packs, takes it off what a server advertises.
		if err := req.Capabilities.Set(capability.ThinPack); err != nil {
			return fmt.Errorf("ask for objects: %w", err)
		}
		store = receiveThin
	}
	if !history && s.advertised.Capabilities.Supports(capability.Shallow) {
		if err := shallow(req, into); err != nil {
			return err
		}
	}
	res, err := s.upload.UploadPack(ctx, req)
	if err != nil {
		return s.describe(ctx, err)
	}
	err = store(ctx, into, demultiplex(req.Capabilities, res), s.limits)
	if closed := res.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return s.describe(ctx, err)
	}
	if !req.Depth.IsZero() {
		if err := into.SetShallow(res.Shallows); err != nil {
			return stored("note what was fetched", err)
		}
	}
	return nil
}

// demandsMultiACK names the hosts that refuse a request without this capability, which go-git takes off what a server
// advertises. One request holds everything that is asked, so the answer is the same with it.
func demandsMultiACK(host string) bool {
	return host == "dev.azure.com" || host == "ssh.dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com") ||
		strings.HasPrefix(host, "git-codecommit.")
}

func shallow(req *packp.UploadPackRequest, into objects) error {
	known, err := into.Shallow()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := req.Capabilities.Set(capability.Shallow); err != nil {
		return fmt.Errorf("ask for objects: %w", err)
	}
	req.Depth, req.Shallows = packp.DepthCommits(1), known
	return nil
}

func demultiplex(caps *capability.List, r io.Reader) io.Reader {
	switch {
	case caps.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case caps.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}
