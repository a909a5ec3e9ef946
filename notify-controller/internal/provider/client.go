package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// maxResponse is how much of a response is read, in bytes.
	maxResponse = 64 << 10
	// maxRedirects are followed, on the same host only.
	maxRedirects = 3
)

// client posts JSON. It follows no redirect that would carry credentials elsewhere or lose the body.
type client struct{ http *http.Client }

// response is what a target answered, its body bounded.
type response struct {
	status int
	header http.Header
	body   []byte
}

func newClient(tlsData map[string][]byte) (*client, error) {
	config, err := tlsConfig(tlsData)
	if err != nil {
		return nil, err
	}
	return &client{http: &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   config,
			DisableKeepAlives: true, // one send, then the client is gone
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: sameHost,
	}}, nil
}

func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > maxRedirects || next.Method != first.Method || next.URL.Host != first.URL.Host || next.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

func tlsConfig(data map[string][]byte) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if data == nil {
		return config, nil
	}
	ca, cert, key := either(data, "ca.crt", "caFile"), either(data, "tls.crt", "certFile"), either(data, "tls.key", "keyFile")
	if len(ca)+len(cert)+len(key) == 0 {
		return nil, invalid("the Secret of spec.certSecretRef has none of the keys ca.crt, tls.crt and tls.key")
	}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, invalid("the key ca.crt in the Secret of spec.certSecretRef holds no PEM certificate")
		}
	}
	if len(cert)+len(key) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, invalid("the keys tls.crt and tls.key in the Secret of spec.certSecretRef are no PEM certificate with its key")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func either(data map[string][]byte, key, legacy string) []byte {
	if value := data[key]; len(value) > 0 {
		return value
	}
	return data[legacy]
}

// post sends body and returns the answer, whatever its status; the error is a *Failure.
func (c *client) post(ctx context.Context, address string, body []byte, headers map[string]string) (response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return response{}, &Failure{Reason: "the address cannot be used in a request", Permanent: true}
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header.Set("User-Agent", "sluice-notify-controller")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return response{}, &Failure{Reason: describe(err)}
	}
	defer func() { _ = answer.Body.Close() }() // nothing is left to be read
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxResponse))
	if err != nil {
		return response{}, &Failure{Reason: "the target's answer broke off: " + describe(err)}
	}
	return response{status: answer.StatusCode, header: answer.Header, body: text}, nil
}

func (c *client) postJSON(ctx context.Context, address string, payload any, headers map[string]string) (response, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return response{}, &Failure{Reason: "the notification cannot be written as JSON", Permanent: true}
	}
	return c.post(ctx, address, body, headers)
}

// describe classifies a transport error in our own words: Go's text repeats the URL, which is a credential.
func describe(err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return "the target did not answer within spec.timeout"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &dns):
		return "the target's host name does not resolve"
	case errors.As(err, &certificate):
		return "the target's certificate is not trusted; spec.certSecretRef names a CA"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the target refused the connection"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the target closed the connection"
	}
	return "the target cannot be reached"
}

// verdict turns an answer into nil or a *Failure; code is what the target said, if it documents error codes.
func (r response) verdict(code string) error {
	if r.status >= 200 && r.status < 300 {
		return nil
	}
	reason := "the target answered " + strconv.Itoa(r.status) + " " + http.StatusText(r.status)
	if code != "" {
		reason += " (" + code + ")"
	}
	retry := r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout ||
		r.status == http.StatusTooEarly || r.status >= 500
	return &Failure{Reason: reason, Permanent: !retry, RetryAfter: retryAfter(r.header)}
}

// retryAfter reads the header in either of its forms; 0 when it is absent, malformed or past.
func retryAfter(header http.Header) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	sent, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0
	}
	return max(at.Sub(sent), 0)
}

// errorCode returns text if it looks like a documented error code, such as channel_not_found; otherwise nothing, since a
// target may repeat anything that it was sent.
func errorCode(text string) string {
	text = strings.TrimSpace(text)
	if len(text) == 0 || len(text) > 40 {
		return ""
	}
	for _, c := range text {
		if (c < 'a' || c > 'z') && c != '_' {
			return ""
		}
	}
	return text
}
