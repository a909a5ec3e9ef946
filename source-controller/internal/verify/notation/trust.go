package notation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
)

const policyKey = "trustpolicy.json"

// Secret is what a Secret trusts: trustpolicy.json, and the authorities in each value whose name ends in .pem or .crt.
func Secret(data map[string][]byte) (Trust, error) {
	policy, ok := data[policyKey]
	if !ok {
		return Trust{}, errors.New("the Secret that spec.verify.secretRef names has no trustpolicy.json; put notation's trust policy " +
			"into a key of that name")
	}
	certificates := maps.Clone(data)
	maps.DeleteFunc(certificates, func(name string, _ []byte) bool {
		return !strings.HasSuffix(name, ".pem") && !strings.HasSuffix(name, ".crt")
	})
	if len(certificates) == 0 {
		return Trust{}, errNoCertificates
	}
	return Trust{Policy: policy, Certificates: certificates}, nil
}

var errNoCertificates = errors.New("the Secret that spec.verify.secretRef names has no certificate; put the authority of the " +
	"signers into a key of it that ends in .pem or .crt")

// store is the trust stores of notation in memory: they all hold the same certificates.
type store []*x509.Certificate

// GetCertificates is what the library asks for.
func (s store) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return s, nil
}

// issued reports whether a chain is by one of the authorities.
func (s store) issued(chain []*x509.Certificate) bool {
	return slices.ContainsFunc(chain, func(link *x509.Certificate) bool { return slices.ContainsFunc(s, link.Equal) })
}

func parseCertificates(files map[string][]byte) (store, error) {
	var all store
	for _, name := range slices.Sorted(maps.Keys(files)) {
		parsed, err := x509.ParseCertificates(ders(files[name]))
		if err != nil || len(parsed) == 0 {
			return nil, fmt.Errorf("%s in the Secret that spec.verify.secretRef names is no certificate (PEM or DER)", name)
		}
		all = append(all, parsed...)
	}
	if len(all) == 0 {
		return nil, errNoCertificates
	}
	return all, nil
}

// ders is all certificates of a file in DER, one after the other.
func ders(file []byte) []byte {
	var all bytes.Buffer
	for rest := file; ; {
		block, more := pem.Decode(rest)
		if block == nil {
			break
		}
		all.Write(block.Bytes)
		rest = more
	}
	if all.Len() == 0 {
		return file
	}
	return all.Bytes()
}

// parsePolicy takes what Flux takes: a policy that skips may name trust stores, which mean nothing then.
func parsePolicy(data []byte) (*trustpolicy.Document, error) {
	var policy trustpolicy.Document
	if err := json.Unmarshal(data, &policy); err != nil {
		return nil, errors.New("trustpolicy.json in the Secret that spec.verify.secretRef names is no JSON of a trust policy")
	}
	for i := range policy.TrustPolicies {
		if policy.TrustPolicies[i].SignatureVerification.VerificationLevel == trustpolicy.LevelSkip.Name {
			policy.TrustPolicies[i].TrustStores, policy.TrustPolicies[i].TrustedIdentities = nil, nil
		}
	}
	if err := policy.Validate(); err != nil {
		return nil, invalid(err)
	}
	return &policy, nil
}

// invalid tells what is wrong with a policy, in the words of the library, which name the statement. A policy is no secret.
func invalid(err error) error {
	return fmt.Errorf("trustpolicy.json in the Secret that spec.verify.secretRef names: %w", err)
}
