package git

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

const (
	aTree  = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
	people = "author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n"
)

// TestS28OddObjects are those that git itself does not even push.
func TestS28OddObjects(t *testing.T) {
	for name, raw := range map[string]string{
		"tree behind":   people + aTree + "\nx\n",
		"no tree":       people + "\nx\n",
		"no headers":    "\nx\n",
		"nothing":       "",
		"continued":     " x\n" + aTree + people + "\nx\n",
		"short tree":    "tree 4b825dc\n" + people + "\nx\n",
		"split tree":    strings.TrimSuffix(aTree, "\n") + "\n 4b825dc\n" + people + "\nx\n",
		"tab":           aTree + "author\tA\n" + people + "\nx\n",
		"no end":        aTree + people,
		"header's half": aTree + "author",
	} {
		if _, _, err := parseSignedCommit([]byte(raw)); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%s: %v", name, err)
		}
	}
	commit := strings.Repeat("ab", 20)
	for name, raw := range map[string]string{
		"two objects": "object " + commit + "\nobject " + commit + "\ntype commit\ntag v1\n\nx\n",
		"other order": "type commit\nobject " + commit + "\ntag v1\n\nx\n",
		"no name":     "object " + commit + "\ntype commit\n\nx\n",
		"of a tree":   "object " + commit + "\ntype tree\ntag v1\n\nx\n",
	} {
		if _, err := parseSignedTag([]byte(raw), "v1", commit); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzSignedCommit holds that a commit which is taken has the tree that go-git reads, and that all but the signature is signed.
func FuzzSignedCommit(f *testing.F) {
	f.Add([]byte(aTree + people + "\nx\n"))
	f.Add([]byte(aTree + people + "gpgsig -----BEGIN\n x\n\nx\n"))
	f.Add([]byte(aTree + "parent x\n" + people + "mergetag object\n tree x\n\nx\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		signed, tree, err := parseSignedCommit(raw)
		if err != nil {
			return
		}
		var stored plumbing.MemoryObject
		stored.SetType(plumbing.CommitObject)
		if _, err := stored.Write(raw); err != nil {
			t.Fatal(err)
		}
		var decoded object.Commit
		if err := decoded.Decode(&stored); err == nil && decoded.TreeHash.String() != tree {
			t.Errorf("the trees %s and %s are read out of %q", tree, decoded.TreeHash, raw)
		}
		if signed.Signature == "" && string(signed.Content) != string(raw) {
			t.Errorf("nobody signed, and something is missing of %q", raw)
		}
	})
}

// FuzzSignedTag holds that a tag which is taken is the one that was asked for, of the commit that was.
func FuzzSignedTag(f *testing.F) {
	commit := strings.Repeat("ab", 20)
	f.Add([]byte("object " + commit + "\ntype commit\ntag v1\n\nx\n-----BEGIN SSH SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		signed, err := parseSignedTag(raw, "v1", commit)
		if err == nil && (!strings.HasPrefix(string(raw), "object "+commit+"\ntype commit\ntag v1\n") || string(signed.Content)+signed.Signature != string(raw)) {
			t.Errorf("%q is taken", raw)
		}
	})
}
