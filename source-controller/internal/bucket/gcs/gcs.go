// Package gcs reads buckets of Google Cloud Storage by its JSON API, with the client that Google generates from its
// description (api/decisions/0028).
package gcs

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	storage "google.golang.org/api/storage/v1"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
)

// Options say how a bucket is reached.
type Options struct {
	// Base is where the API is: https://storage.googleapis.com.
	Base   string
	Bucket string
	// Login is who asks.
	Login Login
	// Transport carries the requests, Tokens those for tokens.
	Transport, Tokens *bucket.Transport
	// Kept remembers tokens.
	Kept *bucket.Kept
}

// Service is a bucket. It implements [bucket.Service].
type Service struct {
	options Options
	objects *storage.ObjectsService
}

// Open prepares a bucket. Nothing is asked but for a token, unless there is one that still holds.
func Open(ctx context.Context, o Options) (*Service, error) {
	token, err := o.Login.token(ctx, o.Tokens, o.Kept)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: authorized{token: token, next: o.Transport}}
	api, err := storage.NewService(ctx, option.WithHTTPClient(client), option.WithEndpoint(o.Base+"/storage/v1/"))
	if err != nil {
		return nil, errors.New("spec.endpoint is not the address of a storage; write storage.googleapis.com")
	}
	return &Service{options: o, objects: api.Objects}, nil
}

type authorized struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (a authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+a.token)
	return a.next.RoundTrip(req)
}

// List implements [bucket.Service].
func (s *Service) List(ctx context.Context, prefix string, visit func(bucket.Object) error) error {
	ctx, exchange := bucket.Begin(ctx, 0)
	call := s.objects.List(s.options.Bucket).Prefix(prefix).MaxResults(1000).
		Fields("nextPageToken", "items(name,etag,size,md5Hash,generation,contentEncoding)")
	var stopped error
	err := call.Pages(ctx, func(page *storage.Objects) error {
		for _, o := range page.Items {
			if stopped = visit(object(o)); stopped != nil {
				return stopped
			}
		}
		return nil
	})
	if stopped != nil {
		return stopped
	}
	if err != nil {
		return s.explain(exchange, err)
	}
	return nil
}

func object(o *storage.Object) bucket.Object {
	found := bucket.Object{
		Key: o.Name, ETag: o.Etag, Size: int64(o.Size), // one that is too large becomes negative, and is refused
		Version: strconv.FormatInt(o.Generation, 10), Unpacked: o.ContentEncoding == "gzip",
	}
	if sum, err := base64.StdEncoding.DecodeString(o.Md5Hash); err == nil && len(sum) > 0 {
		found.MD5, found.Sure = hex.EncodeToString(sum), true
	}
	return found
}

// Open implements [bucket.Service].
func (s *Service) Open(ctx context.Context, o bucket.Object) (io.ReadCloser, error) {
	limit := o.Size + 1
	if o.Unpacked {
		limit = 1 << 62 // whoever reads it counts
	}
	ctx, exchange := bucket.Begin(ctx, limit)
	call := s.objects.Get(s.options.Bucket, o.Key).Context(ctx)
	if generation, err := strconv.ParseInt(o.Version, 10, 64); err == nil {
		call.IfGenerationMatch(generation)
	}
	res, err := call.Download() //nolint:bodyclose // whoever reads it closes it
	if err != nil {
		if exchange.Status == http.StatusNotFound || exchange.Status == http.StatusPreconditionFailed {
			return nil, bucket.ErrChanged
		}
		return nil, s.explain(exchange, err)
	}
	return s.options.Transport.Body(exchange, res.Body), nil
}

// explain says for the user what went wrong; the service's own words are quoted to nobody.
func (s *Service) explain(e *bucket.Exchange, err error) error {
	if known := s.options.Transport.Explain(e, err); known != nil {
		return known
	}
	host, login := s.options.Transport.Peer.Host, s.options.Login
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s does not answer as Google Cloud Storage does; check spec.endpoint", host)
	}
	switch answer.Code {
	case http.StatusNotFound:
		return errors.New("there is no bucket of this name; check spec.bucketName")
	case http.StatusUnauthorized:
		login.forget(s.options.Kept)
		return fmt.Errorf("%w: the token of %s is not accepted", bucket.ErrRefused, login)
	case http.StatusForbidden:
		return fmt.Errorf("%w: access is denied to %s; grant it roles/storage.objectViewer for the bucket", bucket.ErrRefused, login)
	}
	return fmt.Errorf("%s refuses the request with the HTTP status %d", host, answer.Code)
}
