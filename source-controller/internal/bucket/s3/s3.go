// Package s3 reads buckets of Amazon's S3, and of everything that speaks its API. It is the only home of minio-go.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
)

// Options say how a bucket is reached.
type Options struct {
	// Endpoint is a host, with a port if it is not the usual one.
	Endpoint string
	Bucket   string
	// Region of the bucket; empty to ask the service, once.
	Region string
	// Insecure is set for plain HTTP.
	Insecure bool
	// Login is who asks.
	Login Login
	// Transport carries the requests.
	Transport *bucket.Transport
	// Kept remembers regions, and keys that end.
	Kept *bucket.Kept
}

// ErrEndpoint says that the endpoint, or the name of the bucket, is none.
var ErrEndpoint = errors.New("invalid")

// Service is a bucket. It implements [bucket.Service].
type Service struct {
	options Options
	core    minio.Core
	// region is what the bucket's region is kept under; empty if it was given.
	region string
}

// Open prepares a bucket. Nothing is asked but for what the login needs.
func Open(ctx context.Context, o Options) (*Service, error) {
	if err := s3utils.CheckValidBucketName(o.Bucket); err != nil {
		return nil, fmt.Errorf("spec.bucketName: %w: %q is no name of a bucket, which has 3 to 63 lower case letters, digits, dots and dashes", ErrEndpoint, o.Bucket)
	}
	keys, err := o.Login.keys(ctx, o.Kept)
	if err != nil {
		return nil, err
	}
	s := &Service{options: o}
	region := o.Region
	if region == "" {
		s.region = bucket.KeyOf("region", o.Endpoint, o.Bucket)
		region, _ = bucket.Find[string](o.Kept, s.region)
	}
	client, err := minio.New(o.Endpoint, &minio.Options{
		Creds: keys, Secure: !o.Insecure, Region: region, Transport: o.Transport,
		MaxRetries: 1, // an attempt is ours to repeat
	})
	if err != nil {
		return nil, fmt.Errorf("spec.endpoint: %w: write the host alone, such as minio.example.com or 10.0.0.1:9000", ErrEndpoint)
	}
	s.core = minio.Core{Client: client}
	return s, nil
}

// List implements [bucket.Service]. A region that was not given is asked for before, unless it is known.
func (s *Service) List(ctx context.Context, prefix string, visit func(bucket.Object) error) error {
	ctx, exchange := bucket.Begin(ctx, 0)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	options := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, UseV1: s3utils.IsGoogleEndpoint(*s.core.EndpointURL())}
	for o := range s.core.ListObjectsIter(ctx, s.options.Bucket, options) {
		if o.Err != nil {
			return s.explain(exchange, o.Err)
		}
		if err := visit(bucket.Object{Key: o.Key, ETag: o.ETag, Size: o.Size, MD5: md5Of(o.ETag)}); err != nil {
			return err
		}
	}
	// The client takes a context that is over for the end of the list.
	if err := ctx.Err(); err != nil {
		return s.explain(exchange, err)
	}
	s.remember(ctx)
	return nil
}

// remember keeps the region that the client has found.
func (s *Service) remember(ctx context.Context) {
	if s.region == "" {
		return
	}
	if region, err := s.core.GetBucketLocation(ctx, s.options.Bucket); err == nil {
		s.options.Kept.Put(s.region, region)
	}
}

// md5Of is what an ETag says about the content: the MD5, unless the object was uploaded in parts, or encrypted.
func md5Of(etag string) string {
	if len(etag) == 32 && strings.Trim(etag, "0123456789abcdef") == "" {
		return etag
	}
	return ""
}

// Open implements [bucket.Service].
func (s *Service) Open(ctx context.Context, o bucket.Object) (io.ReadCloser, error) {
	ctx, exchange := bucket.Begin(ctx, o.Size+1)
	var options minio.GetObjectOptions
	if o.ETag != "" {
		if err := options.SetMatchETag(o.ETag); err != nil {
			return nil, fmt.Errorf("ask for the object: %w", err)
		}
	}
	content, info, _, err := s.core.GetObject(ctx, s.options.Bucket, o.Key, options)
	if err != nil {
		if exchange.Status == http.StatusNotFound || exchange.Status == http.StatusPreconditionFailed {
			return nil, bucket.ErrChanged
		}
		return nil, s.explain(exchange, err)
	}
	if o.ETag != "" && info.ETag != "" && info.ETag != o.ETag {
		return nil, errors.Join(bucket.ErrChanged, content.Close())
	}
	return s.options.Transport.Body(exchange, content), nil
}

// explain says for the user what went wrong.
func (s *Service) explain(e *bucket.Exchange, err error) error {
	if known := s.options.Transport.Explain(e, err); known != nil {
		return known
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s does not answer as S3 does; check spec.endpoint", s.options.Transport.Peer.Host)
	}
	return s.refusal(answer)
}

// refusal words what the service answers, by its code; its own words are quoted to nobody.
func (s *Service) refusal(answer minio.ErrorResponse) error {
	login := s.options.Login
	switch answer.Code {
	case "NoSuchBucket":
		return errors.New("there is no bucket of this name; check spec.bucketName, and spec.region if it is set")
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		if login.IsZero() {
			return fmt.Errorf("%w: the bucket is not public; set spec.secretRef", bucket.ErrRefused)
		}
		return fmt.Errorf("%w: access is denied to %s; grant it to list the bucket and to read its objects", bucket.ErrRefused, login)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidClientTokenId":
		s.options.Login.forget(s.options.Kept)
		return fmt.Errorf("%w: those of %s are wrong, or no longer valid%s", bucket.ErrRefused, login, login.Hint)
	case "RequestTimeTooSkewed":
		return errors.New("the clocks of this controller and of the service differ too much")
	case "AuthorizationHeaderMalformed", "InvalidRegion":
		if s.region != "" {
			s.options.Kept.Drop(s.region)
		}
		return errors.New("the bucket is in another region; set spec.region to it")
	case "NoSuchKey":
		return bucket.ErrChanged
	}
	return fmt.Errorf("%s refuses the request with the HTTP status %d", s.options.Transport.Peer.Host, answer.StatusCode)
}
