package git

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// ErrAmbiguous says that an object can be read in more than one way, or is not the one that its name promises. What somebody signed
// could then be something else than what is packed.
var ErrAmbiguous = errors.New("not a well-formed object")

// Signed is an object of a repository, taken apart into what was signed and the signature.
type Signed struct {
	// Content is what the signature is of, byte for byte. Signature is empty if there is none.
	Content   []byte
	Signature string
}

// header is one header of an object: its name, its value, and where its lines are.
type header struct {
	name, value string
	start, end  int
}

// SignedCommit takes a commit apart. It is the one whose tree a [Snapshot] reads: its bytes have the hash that was asked for,
// and there is only one way to read them.
func (c *Clone) SignedCommit(commit string) (Signed, error) {
	raw, err := readRaw(c.open(), plumbing.CommitObject, commit)
	if err != nil {
		return Signed{}, err
	}
	signed, tree, err := parseSignedCommit(raw)
	if err != nil {
		return Signed{}, fmt.Errorf("commit %s: %w", commit, err)
	}
	decoded, err := readCommit(c.open(), commit)
	if err != nil {
		return Signed{}, err
	}
	if decoded.TreeHash.String() != tree {
		return Signed{}, fmt.Errorf("commit %s: %w: it names two trees", commit, ErrAmbiguous)
	}
	return signed, nil
}

// SignedTag takes apart the annotated tag that a reference points at. It has to be a tag of the commit itself, with the name
// that it has in the repository: a signed tag under another name is how an old release passes for a new one.
func (c *Clone) SignedTag(object, ref, commit string) (Signed, error) {
	name := strings.TrimPrefix(ref, "refs/tags/")
	raw, err := readRaw(c.open(), plumbing.TagObject, object)
	if err != nil {
		return Signed{}, err
	}
	signed, err := parseSignedTag(raw, name, commit)
	if err != nil {
		return Signed{}, fmt.Errorf("tag %q: %w", name, err)
	}
	return signed, nil
}

// readRaw reads an object whole, and wants it to have the hash that it is known by.
func readRaw(s *filesystem.Storage, kind plumbing.ObjectType, name string) (raw []byte, err error) {
	hash := plumbing.NewHash(name)
	found, err := s.EncodedObject(plumbing.AnyObject, hash)
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return nil, fmt.Errorf("%w: there is no %s %s", ErrNoCommit, kind, name)
	case err != nil:
		return nil, fmt.Errorf("%w: %s %s", ErrCorrupt, kind, name)
	case found.Type() != kind:
		return nil, fmt.Errorf("%w: %s is a %s and no %s", ErrAmbiguous, name, found.Type(), kind)
	case found.Size() > maxCommit:
		return nil, fmt.Errorf("%w: %s %s has more than %d bytes", ErrTooLarge, kind, name, maxCommit)
	}
	r, err := found.Reader()
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s", ErrCorrupt, kind, name)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if raw, err = io.ReadAll(io.LimitReader(r, maxCommit+1)); err != nil || plumbing.ComputeHash(kind, raw) != hash {
		return nil, fmt.Errorf("%w: %s %s", ErrCorrupt, kind, name)
	}
	return raw, nil
}

const (
	pgpSig    = "gpgsig"
	pgpSig256 = "gpgsig-sha256"
)

// parseSignedCommit splits a commit into what was signed, which is all of it without the header that holds the signature, and
// that. It also returns the tree.
func parseSignedCommit(raw []byte) (Signed, string, error) {
	headers, _, err := parseHeaders(raw)
	if err != nil {
		return Signed{}, "", err
	}
	var tree string
	if err := once(headers, "tree", "author", "committer", "encoding", pgpSig); err != nil {
		return Signed{}, "", err
	}
	signed := Signed{Content: raw}
	for i, h := range headers {
		switch h.name {
		case "tree":
			if tree = h.value; i != 0 {
				return Signed{}, "", fmt.Errorf("%w: its first header is not the tree", ErrAmbiguous)
			}
		case pgpSig256:
			return Signed{}, "", fmt.Errorf("%w: it has a signature for another format of hashes", ErrAmbiguous)
		case pgpSig:
			if h.value == "" {
				return Signed{}, "", fmt.Errorf("%w: its signature is empty", ErrAmbiguous)
			}
			signed.Signature = h.value
			signed.Content = append(append([]byte(nil), raw[:h.start]...), raw[h.end:]...)
		}
	}
	if !isHash(tree) {
		return Signed{}, "", fmt.Errorf("%w: it has no tree", ErrAmbiguous)
	}
	return signed, tree, nil
}

// parseSignedTag splits a tag into what was signed, which is all before the signature at its end, and that.
func parseSignedTag(raw []byte, name, commit string) (Signed, error) {
	headers, message, err := parseHeaders(raw)
	if err != nil {
		return Signed{}, err
	}
	if err := once(headers, "object", "type", "tag", "tagger"); err != nil {
		return Signed{}, err
	}
	if len(headers) < 3 || headers[0].name != "object" || headers[1].name != "type" || headers[2].name != "tag" || len(headers) > 4 {
		return Signed{}, fmt.Errorf("%w: its headers are not those of a tag", ErrAmbiguous)
	}
	switch {
	case headers[2].value != name:
		return Signed{}, fmt.Errorf("%w: the object is the tag of another name; push the tag under the name that it was made with", ErrAmbiguous)
	case headers[1].value != plumbing.CommitObject.String(), headers[0].value != commit:
		return Signed{}, fmt.Errorf("%w: it is not a tag of commit %s itself", ErrAmbiguous, commit)
	}
	start := -1
	for at := message; at < len(raw); {
		line := raw[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		if startsSignature(line) {
			if start >= 0 {
				return Signed{}, fmt.Errorf("%w: it has more than one signature", ErrAmbiguous)
			}
			start = at
		}
		at += len(line)
	}
	if start < 0 {
		return Signed{Content: raw}, nil
	}
	return Signed{Content: raw[:start], Signature: string(raw[start:])}, nil
}

// startsSignature reports whether a line is one that git takes for the start of a signature at the end of a tag.
func startsSignature(line []byte) bool {
	kind, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "-----BEGIN ")
	return ok && (kind == "PGP SIGNATURE-----" || kind == "PGP MESSAGE-----" || kind == "SSH SIGNATURE-----" || kind == "SIGNED MESSAGE-----")
}

// parseHeaders reads the headers of a commit or a tag, and returns where its message starts. A line that starts with a space
// belongs to the header before it.
func parseHeaders(raw []byte) (headers []header, message int, err error) {
	if bytes.IndexByte(raw, 0) >= 0 {
		return nil, 0, fmt.Errorf("%w: it has a NUL byte, at which some readers stop", ErrAmbiguous)
	}
	for at := 0; at < len(raw); {
		end := bytes.IndexByte(raw[at:], '\n')
		switch {
		case end < 0:
			return nil, 0, fmt.Errorf("%w: a header does not end", ErrAmbiguous)
		case end == 0:
			return headers, at + 1, nil
		}
		line := string(raw[at : at+end])
		if more, ok := strings.CutPrefix(line, " "); ok {
			if len(headers) == 0 {
				return nil, 0, fmt.Errorf("%w: it does not start with a header", ErrAmbiguous)
			}
			last := &headers[len(headers)-1]
			last.value, last.end = last.value+"\n"+more, at+end+1
		} else {
			name, value, ok := strings.Cut(line, " ")
			if !ok || name == "" || strings.ContainsAny(name, "\t\r\v\f") {
				return nil, 0, fmt.Errorf("%w: a header has no name and value", ErrAmbiguous)
			}
			headers = append(headers, header{name: name, value: value, start: at, end: at + end + 1})
		}
		at += end + 1
	}
	return nil, 0, fmt.Errorf("%w: it has no message, not even an empty one", ErrAmbiguous)
}

// once refuses a header that is there twice: which of them counts is read in more than one way.
func once(headers []header, names ...string) error {
	for _, name := range names {
		count := 0
		for _, h := range headers {
			if strings.EqualFold(h.name, name) {
				count++
			}
		}
		if count > 1 {
			return fmt.Errorf("%w: it has the header %q %d times", ErrAmbiguous, name, count)
		}
	}
	return nil
}

func isHash(s string) bool { return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == "" }
