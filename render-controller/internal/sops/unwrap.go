package sops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"
)

// WrappedKey is a file's data key as it was encrypted for one age recipient.
type WrappedKey struct {
	// Recipient is public: age1….
	Recipient string `json:"recipient"`
	// Ciphertext is armored age.
	Ciphertext []byte `json:"ciphertext"`
}

// maxWrapped bounds a wrapped key, in bytes.
const maxWrapped = 16 << 10

// service answers SOPS' questions for a data key by asking the parent.
type service struct {
	unwrap func(WrappedKey) ([]byte, error)
	// errs holds why the parent could not, in the order of asking.
	errs []error
}

var _ keyservice.KeyServiceClient = (*service)(nil)

var errNotServed = errors.New("only age keys are served")

// Decrypt unwraps a data key that is encrypted with age. Every other kind of key is refused.
func (s *service) Decrypt(_ context.Context, in *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	key := in.GetKey().GetAgeKey()
	if key == nil {
		return nil, errNotServed
	}
	plain, err := s.unwrap(WrappedKey{Recipient: key.GetRecipient(), Ciphertext: in.GetCiphertext()})
	if err != nil {
		s.errs = append(s.errs, err)
		return nil, err
	}
	return &keyservice.DecryptResponse{Plaintext: plain}, nil
}

// Encrypt is not served.
func (*service) Encrypt(context.Context, *keyservice.EncryptRequest, ...grpc.CallOption) (*keyservice.EncryptResponse, error) {
	return nil, errNotServed
}

// dataKey unwraps a file's data key. Its error tells the user which keys the file asks for, and what to do.
func dataKey(metadata *sops.Metadata, unwrap func(WrappedKey) ([]byte, error)) ([]byte, error) {
	recipients, others := keysOf(metadata)
	if len(recipients) == 0 {
		return nil, fmt.Errorf("it is encrypted for %s, which is not served: encrypt it for an age recipient",
			orDefault(strings.Join(others, " and "), "no key at all"))
	}
	asked := &service{unwrap: unwrap}
	key, err := metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{asked}, nil)
	if err == nil {
		return key, nil
	}
	why := "the key groups of the file need more keys than there are"
	if len(asked.errs) > 0 {
		why = asked.errs[len(asked.errs)-1].Error()
	}
	return nil, fmt.Errorf("no key for it: %s; the file is encrypted for %s", why, strings.Join(recipients, ", "))
}

// keysOf lists the age recipients of a file, and the kinds of its other keys.
func keysOf(metadata *sops.Metadata) (recipients, others []string) {
	for _, group := range metadata.KeyGroups {
		for _, key := range group {
			if ageKey, ok := key.(*age.MasterKey); ok {
				recipients = append(recipients, ageKey.Recipient)
				continue
			}
			if kind := key.TypeToIdentifier(); !slices.Contains(others, kind) {
				others = append(others, kind)
			}
		}
	}
	return recipients, others
}

func orDefault(value, other string) string {
	if value == "" {
		return other
	}
	return value
}
