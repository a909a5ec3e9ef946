package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// Session is one conversation with one repository: at most one advertisement, then at most a few fetches. It is for one
// goroutine.
type Session struct {
	host        string
	credentials Credentials
	upload      transport.UploadPackSession
	advertised  *packp.AdvRefs
	limits      Limits
	bounded     *limited
	done        func()
}

// Open prepares a session; nothing is sent before [Session.Advertise]. Close must be called.
func (c *Client) Open(address string, cred Credentials) (*Session, error) {
	endpoint, err := transport.NewEndpoint(strings.TrimRight(address, "/"))
	if err != nil {
		return nil, errors.New("the repository's address is not a URL")
	}
	// A user name in the address may be a token: it goes where credentials go, and no further.
	cred = cred.orUser(endpoint.User)
	if cred.username == "" && cred.password != "" && cred.bearer == "" {
		return nil, fmt.Errorf("%w: the Secret of spec.secretRef has a password and no username; add it", ErrAuthentication)
	}
	endpoint.User, endpoint.Password = "", ""
	client, bounded, done := c.httpClient(cred)
	var auth transport.AuthMethod
	if m := cred.method(); m != nil {
		auth = m
	}
	upload, err := githttp.NewClient(client).NewUploadPackSession(endpoint, auth)
	if err != nil {
		done()
		return nil, fmt.Errorf("open git session: %w", err)
	}
	return &Session{host: endpoint.Host, credentials: cred, upload: upload, limits: c.limits, bounded: bounded, done: done}, nil
}

// Close ends the session.
func (s *Session) Close() { s.done() }

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
}

// fetch asks for objects and stores them. tip is what the store has already, zero for nothing; without history only the
// wanted commits themselves come.
func (s *Session) fetch(ctx context.Context, into objects, wants []plumbing.Hash, tip plumbing.Hash, history bool) error {
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
	if !tip.IsZero() {
		req.Haves = []plumbing.Hash{tip}
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
	err = receive(ctx, into, demultiplex(req.Capabilities, res), s.limits)
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
	return host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com") ||
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
