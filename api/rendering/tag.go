package rendering

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
)

// tagPrefix names the algorithm of a tag.
const tagPrefix = "hmac-sha256:"

// Domains keep the tags of contents and of inputs apart.
const (
	contentDomain = "sluice.dev/rendering/content/1"
	inputsDomain  = "sluice.dev/rendering/inputs/1"
)

// ComputeTag returns the tag of a content: an HMAC-SHA256 over its canonical form (JSON with sorted keys, each part with
// its length before it), objects in order, with phases, taints and the release. Equal contents have equal tags; without
// the key, which should have 32 bytes, nobody can test a guess about the content. An object without apiVersion or kind,
// or above [MaxObject], is an error.
func ComputeTag(key []byte, c Content) (Tag, error) {
	mac := newMAC(key, contentDomain)
	mac.part(c.Release)
	for i, object := range c.Objects {
		data, err := encodeObject(object)
		if err != nil {
			return "", fmt.Errorf("compute tag: object %d: %w", i+1, err)
		}
		mac.part(data)
	}
	return mac.tag(), nil
}

// TagBytes returns the tag of something that is identified by its inputs rather than by its output, such as a Helm
// rendering. Each part is hashed with its length, so parts never run into each other.
func TagBytes(key []byte, parts ...[]byte) Tag {
	mac := newMAC(key, inputsDomain)
	for _, part := range parts {
		mac.part(part)
	}
	return mac.tag()
}

type partMAC struct{ hash.Hash }

func newMAC(key []byte, domain string) partMAC {
	mac := partMAC{hmac.New(sha256.New, key)}
	mac.part([]byte(domain))
	return mac
}

// part never fails: a hash's Write does not.
func (m partMAC) part(data []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(data)))
	_, _ = m.Write(length[:])
	_, _ = m.Write(data)
}

func (m partMAC) tag() Tag { return Tag(tagPrefix + hex.EncodeToString(m.Sum(nil))) }
