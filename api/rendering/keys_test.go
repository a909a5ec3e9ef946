package rendering

import (
	"slices"
	"strings"
	"testing"
)

func TestTagTellsContentsApart(t *testing.T) {
	key := []byte("key")
	tag := func(t *testing.T, key []byte, c Content) Tag {
		t.Helper()
		tag, err := ComputeTag(key, c)
		if err != nil {
			t.Fatal(err)
		}
		return tag
	}
	base := tag(t, key, goldenContent())
	if again := tag(t, key, goldenContent()); again != base {
		t.Errorf("equal contents have the tags %s and %s", base, again)
	}
	if !strings.HasPrefix(string(base), "hmac-sha256:") || len(base) != len("hmac-sha256:")+64 {
		t.Errorf("tag %q is not hmac-sha256:<hex>", base)
	}
	tests := map[string]func(c *Content){
		"phase":           func(c *Content) { c.Objects[0].Phase = "test" },
		"taint":           func(c *Content) { c.Objects[0].Tainted = true },
		"release":         func(c *Content) { c.Release = nil },
		"empty release":   func(c *Content) { c.Release = []byte("{}") },
		"order":           func(c *Content) { slices.Reverse(c.Objects) },
		"fewer":           func(c *Content) { c.Objects = c.Objects[:2] },
		"a value":         func(c *Content) { c.Objects[0].Object.SetName("other") },
		"value and field": func(c *Content) { c.Objects[0].Object.SetLabels(map[string]string{"a": "b"}) },
	}
	for name, change := range tests {
		c := goldenContent()
		change(&c)
		if tag(t, key, c) == base {
			t.Errorf("%s: the tag stays", name)
		}
	}
	if tag(t, []byte("other key"), goldenContent()) == base {
		t.Error("another key makes the same tag")
	}
	if _, err := ComputeTag(key, Content{Objects: []Object{{}}}); err == nil {
		t.Error("an object without a kind has a tag")
	}
}

func TestTagBytesKeepsPartsApart(t *testing.T) {
	key := []byte("key")
	parts := func(all ...string) Tag {
		var data [][]byte
		for _, one := range all {
			data = append(data, []byte(one))
		}
		return TagBytes(key, data...)
	}
	tags := map[Tag]bool{}
	all := [][]string{nil, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"", "ab"}, {"ab", ""}, {"b", "a"}}
	for _, one := range all {
		tags[parts(one...)] = true
	}
	if len(tags) != len(all) {
		t.Errorf("%d tags for %d lists", len(tags), len(all))
	}
	empty, err := ComputeTag(key, Content{})
	if err != nil || tags[empty] {
		t.Errorf("the tag of a content is the tag of an input (%v)", err)
	}
}

func TestKeys(t *testing.T) {
	identity, recipient, err := GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	identities, lines, err := ParseIdentities("# newest first\n\n  " + identity + "\r\n")
	if err != nil || len(identities) != 1 || !slices.Equal(lines, []string{recipient}) {
		t.Errorf("identities %d, recipients %v, %v", len(identities), lines, err)
	}
	recipients, lines, err := ParseRecipients(recipient + "\n" + recipient)
	if err != nil || len(recipients) != 2 || len(lines) != 2 {
		t.Errorf("recipients %d, lines %v, %v", len(recipients), lines, err)
	}
	bad := map[string]string{
		"nothing":       " \n# comment\n",
		"not a key":     "AGE-SECRET-KEY-1SECRETWORD",
		"a plugin":      "AGE-PLUGIN-X-1QQQQ",
		"too many":      strings.Repeat(identity+"\n", MaxKeys+1),
		"too long":      strings.Repeat("#", maxKeyText+1),
		"kind confused": recipient,
	}
	for name, text := range bad {
		if _, _, err := ParseIdentities(text); err == nil || strings.Contains(err.Error(), "SECRETWORD") {
			t.Errorf("identities, %s: got %v", name, err)
		}
	}
	if _, _, err := ParseRecipients(identity); err == nil || strings.Contains(err.Error(), identity) {
		t.Errorf("an identity among recipients: got %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	one := Fingerprint([]string{"age1b", "age1a"})
	if two := Fingerprint([]string{"age1a", "age1b", "age1a"}); one != two {
		t.Errorf("%s and %s for the same set", one, two)
	}
	if Fingerprint([]string{"age1a"}) == one || len(one) != 16 {
		t.Errorf("fingerprint %s", one)
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add("AGE-SECRET-KEY-1\nage1")
	f.Fuzz(func(t *testing.T, text string) {
		if identities, lines, err := ParseIdentities(text); err == nil && (len(identities) == 0 || len(identities) != len(lines)) {
			t.Errorf("%d identities, %d recipients", len(identities), len(lines))
		}
		if recipients, lines, err := ParseRecipients(text); err == nil && (len(recipients) == 0 || len(recipients) != len(lines)) {
			t.Errorf("%d recipients, %d lines", len(recipients), len(lines))
		}
	})
}
