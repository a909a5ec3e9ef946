package git

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/sluice-gitops/sluice/source-controller/internal/pack"
)

const (
	modulesFile = ".gitmodules"
	// maxModulesFile bounds that file, in bytes.
	maxModulesFile = 256 << 10
)

// module is what .gitmodules says about a submodule.
type module struct {
	path, url string
}

// moduleList reads a commit's .gitmodules, in the order of paths; none if it has no such file. Names of submodules are of no
// interest: nothing is stored under them.
func (s *Snapshot) moduleList() ([]module, error) {
	entry, err := s.find(modulesFile)
	if err != nil || entry == nil {
		return nil, err
	}
	switch entry.Mode {
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
	default:
		return nil, fmt.Errorf("%w: %s is no file", pack.ErrHostile, modulesFile)
	}
	raw, err := s.small(modulesFile, entry.Hash, maxModulesFile)
	if err != nil {
		return nil, err
	}
	parsed := config.NewModules()
	if err := parsed.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("%s cannot be read; correct it", modulesFile)
	}
	var all []module
	for _, m := range parsed.Submodules {
		if m.Path != "" {
			all = append(all, module{path: strings.TrimSuffix(m.Path, "/"), url: m.URL})
		}
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.url, b.url)) })
	for i := 1; i < len(all); i++ {
		if all[i].path == all[i-1].path {
			return nil, fmt.Errorf("%w: %s has %q twice", pack.ErrHostile, modulesFile, short(all[i].path))
		}
	}
	return all, nil
}

// small reads a file whole that has no more than a number of bytes.
func (s *Snapshot) small(name string, hash plumbing.Hash, limit int64) (raw []byte, err error) {
	content, size, err := s.blob(name, hash)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	if size > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, name, limit)
	}
	return io.ReadAll(io.LimitReader(content, limit))
}

// find looks up what a path is in the commit's tree; nil if there is nothing, or if something on the way to it is no folder.
func (s *Snapshot) find(p string) (*object.TreeEntry, error) {
	hash := s.tree
	parts := strings.Split(p, "/")
	if len(parts) > maxTreeDepth {
		return nil, nil
	}
	for i, name := range parts {
		tree, err := s.readTree(hash, path.Join(parts[:i]...))
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == name })
		switch {
		case at < 0:
			return nil, nil
		case i == len(parts)-1:
			return &tree.Entries[at], nil
		case tree.Entries[at].Mode != filemode.Dir:
			return nil, nil
		}
		hash = tree.Entries[at].Hash
	}
	return nil, nil
}

// secureShell is how git writes an address without a scheme: user@host:path. What follows the colon is no other colon, which
// would name a program (ext::).
var secureShell = regexp.MustCompile(`^((?:[A-Za-z0-9][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*):([^:].*)$`)

// moduleAddress is where a submodule is whose .gitmodules says raw, in a repository at base. Nothing but http, https and ssh is
// an address: not a path, not an option, and not a program.
func moduleAddress(base, raw string) (string, error) {
	if raw == "" || len(raw) > 4096 || strings.HasPrefix(raw, "-") || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", errors.New("its url is empty, or no address")
	}
	if strings.HasPrefix(raw, "./") || strings.HasPrefix(raw, "../") {
		return relativeAddress(base, raw)
	}
	if !strings.Contains(raw, "://") {
		parts := secureShell.FindStringSubmatch(raw)
		if parts == nil {
			return "", errors.New("its url is no address; write it as https://host/path, or relative to this repository as ../name")
		}
		raw = "ssh://" + parts[1] + "/" + strings.TrimPrefix(parts[2], "/")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", errors.New("its url is no address")
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh":
		return "", fmt.Errorf("its url has the scheme %q; https, http and ssh are served", short(u.Scheme))
	case u.Hostname() == "", strings.HasPrefix(u.Hostname(), "-"):
		return "", errors.New("its url names no host")
	case u.RawQuery != "", u.Fragment != "":
		return "", errors.New("its url has a query or a fragment, which is not part of a repository's address")
	case hasDotDot(u.Path):
		return "", errors.New("its url leads out of a folder")
	}
	if _, set := u.User.Password(); set {
		return "", errors.New("its url contains a password; remove it, and revoke it: everybody who reads the repository has it")
	}
	return u.String(), nil
}

// relativeAddress is an address relative to that of the repository: each ../ takes one name off its path.
func relativeAddress(base, raw string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("its url is relative to no address")
	}
	folder := strings.TrimRight(u.Path, "/")
	for {
		if rest, ok := strings.CutPrefix(raw, "./"); ok {
			raw = rest
			continue
		}
		rest, ok := strings.CutPrefix(raw, "../")
		if !ok {
			break
		}
		if folder == "" {
			return "", errors.New("its url leads out of the host of this repository")
		}
		folder, raw = strings.TrimRight(path.Dir(folder), "/"), rest
	}
	if raw == "" || hasDotDot(raw) {
		return "", errors.New("its url leads to no repository")
	}
	u.Path, u.RawPath = folder+"/"+raw, ""
	return u.String(), nil
}

func hasDotDot(p string) bool { return strings.Contains("/"+p+"/", "/../") }

// short is a text out of a repository as it may appear in a message.
func short(text string) string {
	const limit = 120
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
