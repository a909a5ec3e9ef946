package upstream

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// credential is the header of a signed request: AWS Signature Version 4, as S3 documents it.
var credential = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$`)

// refused is S3's code for a request that no known key has signed; empty for one that is let in.
func (b *Buckets) refused(r *http.Request) string {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "AccessDenied"
	}
	m := credential.FindStringSubmatch(header)
	if m == nil {
		return "AuthorizationHeaderMalformed"
	}
	b.mu.Lock()
	secret, known := b.keys[m[1]]
	b.mu.Unlock()
	if !known {
		return "InvalidAccessKeyId"
	}
	day, region, signed := m[2], m[3], strings.Split(m[4], ";")
	text := strings.Join([]string{
		"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), day + "/" + region + "/s3/aws4_request", hexSum(canonical(r, signed)),
	}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, region, "s3", "aws4_request", text} {
		key = mac(key, part)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(key)), []byte(m[5])) {
		return "SignatureDoesNotMatch"
	}
	return ""
}

// canonical is the request as both sides write it before they sign it.
func canonical(r *http.Request, signed []string) string {
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(value))
	}
	return strings.Join([]string{
		r.Method, r.URL.EscapedPath(), canonicalQuery(r.URL.Query()), headers.String(), strings.Join(signed, ";"), r.Header.Get("X-Amz-Content-Sha256"),
	}, "\n")
}

func canonicalQuery(query url.Values) string {
	var all []string
	for name, values := range query {
		for _, value := range values {
			all = append(all, escape(name)+"="+escape(value))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "&")
}

// escape writes a space as %20, where a form has +.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
