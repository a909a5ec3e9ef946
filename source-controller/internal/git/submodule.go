package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

const (
	// maxModules is how many submodules a commit may have, those of submodules included, and maxModuleDepth how deep they may be
	// in each other.
	maxModules, maxModuleDepth = 100, 10
	// moduleAge is how long the clone of a submodule stays that is in no commit any more which is packed.
	moduleAge = 24 * time.Hour
)

// Modules are where submodules are fetched from, and as whom.
type Modules struct {
	// Address is the repository's own. Credentials go to its host alone.
	Address     string
	Credentials Credentials
	// Client fetches; nil if nothing may be fetched.
	Client *Client
	// Wanted says whether a submodule is packed, by its path; nil for all.
	Wanted func(path string) bool
}

// recursion fetches the submodules of one commit.
type recursion struct {
	Modules
	clone    *Clone
	top      *Snapshot
	count    int
	used     map[string]bool
	received int64
}

// Recurse opens the submodules of a commit of the clone, and those in them, and fetches what is missing: each into a clone of its
// own beside this one, which brings increments. The snapshot's Walk goes through them then. It returns how many bytes servers sent.
func (c *Clone) Recurse(ctx context.Context, top *Snapshot, m Modules) (received int64, err error) {
	r := recursion{Modules: m, clone: c, top: top, used: map[string]bool{}}
	top.modules = map[string]*Snapshot{}
	if err := r.open(ctx, top, m.Address, "", 0); err != nil {
		return r.received, err
	}
	return r.received, c.tidyModules(r.used)
}

// open opens the submodules of a commit, which lies at a prefix of the whole.
func (r *recursion) open(ctx context.Context, s *Snapshot, base, prefix string, depth int) error {
	list, err := s.moduleList()
	if err != nil {
		return in(prefix, err)
	}
	for _, m := range list {
		entry, err := s.find(m.path)
		if err != nil {
			return in(prefix, err)
		}
		full := prefix + m.path
		if entry == nil || entry.Mode != filemode.Submodule || r.Wanted != nil && !r.Wanted(full) {
			continue
		}
		if err := r.module(ctx, base, m, entry.Hash.String(), full, depth); err != nil {
			return err
		}
	}
	return nil
}

// module opens one submodule.
func (r *recursion) module(ctx context.Context, base string, m module, commit, full string, depth int) error {
	switch r.count++; {
	case depth >= maxModuleDepth:
		return fmt.Errorf("%w: submodule %q is more than %d deep in others; unset spec.recurseSubmodules, or use spec.include",
			ErrTooLarge, short(full), maxModuleDepth)
	case r.count > maxModules:
		return fmt.Errorf("%w: there are more than %d submodules; unset spec.recurseSubmodules, or use spec.include", ErrTooLarge, maxModules)
	}
	address, err := moduleAddress(base, m.url)
	if err != nil {
		return fmt.Errorf("submodule %q: %w; correct %s", short(full), err, modulesFile)
	}
	clone := r.clone.module(address, full)
	r.used[filepath.Base(clone.dir)] = true
	if !clone.Has(commit) {
		if err := r.fetch(ctx, clone, address, commit); err != nil {
			return r.explain(full, address, commit, err)
		}
	}
	if now := time.Now(); os.Chtimes(clone.dir, now, now) != nil {
		return r.explain(full, address, commit, ErrCorrupt)
	}
	s, err := clone.Snapshot(commit)
	if err != nil {
		return r.explain(full, address, commit, err)
	}
	s.modules, r.top.modules[full] = r.top.modules, s
	return r.open(ctx, s, address, full+"/", depth+1)
}

// module is the clone of a submodule: of an address, and of a place, so that one that is there twice has two.
func (c *Clone) module(address, full string) *Clone {
	if u, err := url.Parse(address); err == nil {
		u.User = nil // it may be a token
		address = u.String()
	}
	sum := sha256.Sum256([]byte(address + "\x00" + full))
	m := &Clone{dir: c.dir + "-" + hex.EncodeToString(sum[:])[:moduleDigits]}
	c.modules = append(c.modules, m)
	return m
}

func (r *recursion) fetch(ctx context.Context, clone *Clone, address, commit string) error {
	if r.Client == nil {
		return fmt.Errorf("%w: there is no commit %s", ErrNoCommit, commit)
	}
	cred := r.Credentials
	if !sameHost(r.Address, address) {
		cred = cred.elsewhere()
	}
	s, err := r.Client.Open(address, cred)
	if err != nil {
		return err
	}
	defer s.Close()
	defer func() { r.received += s.Received() }()
	if _, err := s.Advertise(ctx); err != nil {
		return err
	}
	return clone.Fetch(ctx, s, plan.Target{Commit: commit})
}

// explain says which submodule it is that cannot be had, and from where.
func (r *recursion) explain(full, address, commit string, err error) error {
	host := ""
	if u, failed := url.Parse(address); failed == nil {
		host = u.Host
	}
	foreign := !sameHost(r.Address, address)
	switch {
	case errors.Is(err, ErrNoCommit):
		return fmt.Errorf("submodule %q: %w: %s is not in the repository at %s; push it there, or let the submodule point at one that is",
			short(full), ErrNoCommit, commit, host)
	case foreign && (errors.Is(err, ErrAuthentication) || errors.Is(err, ErrNotFound)):
		kind := ErrNotFound
		if errors.Is(err, ErrAuthentication) {
			kind = ErrAuthentication
		}
		return fmt.Errorf("submodule %q: %w: %s does not give it to everybody, and the credentials of spec.secretRef are for the host of spec.url alone; "+
			"make it a GitRepository of its own, and use spec.include", short(full), kind, host)
	case strings.Contains(err.Error(), host):
		return fmt.Errorf("submodule %q: %w", short(full), err)
	}
	return fmt.Errorf("submodule %q at %s: %w", short(full), host, err)
}

// in says in which submodule something went wrong; prefix is empty for none.
func in(prefix string, err error) error {
	if prefix == "" {
		return err
	}
	return fmt.Errorf("submodule %q: %w", short(strings.TrimSuffix(prefix, "/")), err)
}

// sameHost reports whether what is for the one address may go to the other: it is the same server, reached the same way.
func sameHost(a, b string) bool {
	one, errA := url.Parse(a)
	two, errB := url.Parse(b)
	return errA == nil && errB == nil && one.Scheme == two.Scheme && strings.EqualFold(one.Hostname(), two.Hostname()) && port(one) == port(two)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443", "ssh": "22"}[u.Scheme]
}

// ForgetModules removes the clones of submodules that were not used for a day.
func (c *Clone) ForgetModules() error { return c.tidyModules(nil) }

// tidyModules removes the clones of submodules that are not used, and were not for a day: of objects that share this clone, each
// may have others.
func (c *Clone) tidyModules(used map[string]bool) error {
	found, err := filepath.Glob(c.dir + "-*")
	if err != nil {
		return stored("list", err)
	}
	for _, dir := range found {
		info, err := os.Stat(dir)
		if err != nil || used[filepath.Base(dir)] || time.Since(info.ModTime()) < moduleAge {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return stored("remove", err)
		}
	}
	return nil
}
