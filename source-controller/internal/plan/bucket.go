package plan

import (
	"fmt"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// ValidateBucket says why a Bucket cannot be served as it is written; nil if it can.
func ValidateBucket(spec sourcev1.BucketSpec) *Problem {
	if spec.Interval.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.interval: %s is not a positive duration", spec.Interval.Duration))
	}
	if spec.Timeout != nil && spec.Timeout.Duration <= 0 {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.timeout: %s is not a positive duration", spec.Timeout.Duration))
	}
	if spec.BucketName == "" || strings.ContainsAny(spec.BucketName, "/?#") {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.bucketName: %q is not the name of a bucket", spec.BucketName))
	}
	provider := BucketProvider(spec)
	if spec.ServiceAccountName != "" && provider == sourcev1.BucketProviderGeneric {
		return terminal(FetchProblem(ReasonInvalidSpec,
			"spec.serviceAccountName: the provider generic has no identities; set spec.provider to aws, gcp or azure, or use spec.secretRef"))
	}
	if spec.ServiceAccountName != "" && spec.SecretRef != nil {
		return terminal(FetchProblem(ReasonInvalidSpec, "spec.serviceAccountName and spec.secretRef: one of them says who asks; remove the other"))
	}
	if p := validateSTS(provider, spec.STS); p != nil {
		return p
	}
	_, p := BucketEndpoint(spec)
	return p
}

// BucketProvider is spec.provider, or what it is by default.
func BucketProvider(spec sourcev1.BucketSpec) string {
	if spec.Provider == "" {
		return sourcev1.BucketProviderGeneric
	}
	return spec.Provider
}

func validateSTS(provider string, sts *sourcev1.BucketSTSSpec) *Problem {
	if sts == nil {
		return nil
	}
	invalid := func(format string, args ...any) *Problem {
		return terminal(FetchProblem(sourcev1.InvalidSTSConfigurationReason, format, args...))
	}
	wanted, served := map[string]string{
		sourcev1.BucketProviderAmazon:  sourcev1.STSProviderAmazon,
		sourcev1.BucketProviderGeneric: sourcev1.STSProviderLDAP,
	}[provider]
	switch {
	case !served:
		return invalid("spec.sts: the provider %s has no such service; remove it", provider)
	case sts.Provider != wanted:
		return invalid("spec.sts.provider: %q does not go with spec.provider %q; use %q", sts.Provider, provider, wanted)
	case sts.Provider == sourcev1.STSProviderAmazon && sts.SecretRef != nil:
		return invalid("spec.sts.secretRef: AWS knows the identity without a Secret; remove it")
	case sts.Provider == sourcev1.STSProviderAmazon && sts.CertSecretRef != nil:
		return invalid("spec.sts.certSecretRef: AWS needs no authority of one's own; remove it")
	}
	if u, err := url.Parse(sts.Endpoint); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return terminal(FetchProblem(sourcev1.URLInvalidReason,
			"spec.sts.endpoint: write https://host, with a path if there is one, and without a user"))
	}
	return nil
}

// BucketEndpoint is where the storage is. Of Google Cloud Storage it is the API's host; for Azure it may have a query.
func BucketEndpoint(spec sourcev1.BucketSpec) (*url.URL, *Problem) {
	invalid := func(why string) *Problem {
		return terminal(FetchProblem(sourcev1.URLInvalidReason, "spec.endpoint: %s", why))
	}
	raw, provider := spec.Endpoint, BucketProvider(spec)
	scheme := "https"
	if spec.Insecure {
		scheme = "http"
	}
	s3 := provider == sourcev1.BucketProviderGeneric || provider == sourcev1.BucketProviderAmazon
	switch written := strings.Contains(raw, "://"); {
	case s3 && written:
		return nil, invalid("write the host alone, without a scheme; spec.insecure says whether it is http")
	case !written:
		raw = scheme + "://" + raw
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, invalid(fmt.Sprintf("it is not the address of a storage; write it as %s", example(provider)))
	case u.User != nil:
		return nil, invalid("it holds a user or a password; move them to the Secret in spec.secretRef")
	case u.Fragment != "", provider != sourcev1.BucketProviderAzure && (u.RawQuery != "" || strings.Trim(u.Path, "/") != ""):
		return nil, invalid("it has more than a host; write it as " + example(provider))
	}
	return u, nil
}

func example(provider string) string {
	switch provider {
	case sourcev1.BucketProviderAmazon:
		return "s3.amazonaws.com"
	case sourcev1.BucketProviderGoogle:
		return "storage.googleapis.com"
	case sourcev1.BucketProviderAzure:
		return "https://account.blob.core.windows.net"
	}
	return "minio.example.com:9000"
}

// clouds are the hosts that the storages of a provider have, and nobody else.
func clouds(provider string) []string {
	switch provider {
	case sourcev1.BucketProviderGoogle:
		return []string{".googleapis.com"}
	case sourcev1.BucketProviderAzure:
		return []string{
			".core.windows.net", ".storage.azure.net", ".core.chinacloudapi.cn", ".core.usgovcloudapi.net", ".core.cloudapi.de",
		}
	}
	return nil
}

// MayHaveToken says why a token of this controller's, or of its node, must not go to a host: whoever writes a Bucket would
// get it, and it opens all that this controller may read. nil if it may. (A signature for S3 is worth nothing elsewhere.)
func MayHaveToken(provider string, endpoint *url.URL) *Problem {
	suffixes := clouds(provider)
	for _, suffix := range suffixes {
		if strings.HasSuffix(strings.ToLower(endpoint.Hostname()), suffix) && endpoint.Scheme == "https" {
			return nil
		}
	}
	return terminal(FetchProblem(sourcev1.AuthenticationFailedReason,
		"spec.endpoint: %s would get a token of this controller's, which is for the provider's own hosts over https alone (%s); "+
			"use one of them, or set spec.secretRef or spec.serviceAccountName", endpoint.Host, strings.Join(suffixes, ", ")))
}

// SameBucketContent reports whether the stored artifact was made with the rules that the object has now for what goes in.
func SameBucketContent(spec sourcev1.BucketSpec, status sourcev1.BucketStatus) bool {
	return equal(spec.Ignore, status.ObservedIgnore)
}

// BucketStored is what the conditions say of a stored artifact. One without objects is worth a word: a prefix may be wrong.
func BucketStored(spec sourcev1.BucketSpec, revision string, count int) string {
	message := fmt.Sprintf("stored artifact: revision '%s'", revision)
	switch {
	case count > 0:
		return message
	case spec.Prefix != "":
		return message + fmt.Sprintf(" (it is empty: the bucket has no object that is not ignored and starts with spec.prefix %q)", spec.Prefix)
	}
	return message + " (it is empty: the bucket has no object that is not ignored)"
}

// BucketFetched is what is told of new content.
func BucketFetched(spec sourcev1.BucketSpec, count int) string {
	return fmt.Sprintf("stored artifact with %d fetched files from '%s' bucket", count, spec.BucketName)
}
