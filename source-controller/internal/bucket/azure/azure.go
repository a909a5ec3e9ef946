// Package azure reads containers of Azure Blob Storage. It is the only home of azblob.
package azure

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
)

// Options say how a container is reached.
type Options struct {
	// Endpoint is the address of the account, such as https://account.blob.core.windows.net.
	Endpoint  *url.URL
	Container string
	// Login is who asks.
	Login Login
	// Transport carries the requests, Tokens those for tokens.
	Transport, Tokens *bucket.Transport
	// Kept remembers tokens.
	Kept *bucket.Kept
}

// Service is a container. It implements [bucket.Service].
type Service struct {
	options Options
	client  *azblob.Client
}

// Open prepares a container. Nothing is asked but for a token, unless there is one that still holds.
func Open(ctx context.Context, o Options) (*Service, error) {
	s := &Service{options: o}
	var err error
	s.client, err = s.dial(ctx)
	return s, err
}

// once is a client's options for one try: an attempt is ours to repeat.
func once(through *bucket.Transport) policy.ClientOptions {
	return policy.ClientOptions{
		Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{Disabled: true},
		Transport: &http.Client{Transport: through},
	}
}

func (s *Service) dial(ctx context.Context) (*azblob.Client, error) {
	login, address := s.options.Login, *s.options.Endpoint
	options := &azblob.ClientOptions{ClientOptions: once(s.options.Transport)}
	switch {
	case login.SAS != nil:
		query := address.Query()
		for name, values := range login.SAS {
			query[name] = values
		}
		address.RawQuery = query.Encode()
		return made(azblob.NewClientWithNoCredential(address.String(), options))
	case login.AccountKey != "":
		account, _, found := strings.Cut(address.Hostname(), ".")
		if !found {
			return nil, errors.New("spec.endpoint: the account is the first part of the host, as in https://account.blob.core.windows.net")
		}
		shared, err := azblob.NewSharedKeyCredential(account, login.AccountKey)
		if err != nil {
			return nil, fmt.Errorf("%w: accountKey in %s is not in base64", bucket.ErrRefused, login)
		}
		return made(azblob.NewClientWithSharedKeyCredential(address.String(), shared, options))
	}
	if address.Scheme != "https" {
		return nil, errors.New("spec.endpoint: a token goes to https alone; write https://")
	}
	token, err := login.token(ctx, s.options.Tokens, s.options.Kept)
	if err != nil {
		return nil, err
	}
	return made(azblob.NewClient(address.String(), fixed(token), options))
}

func made(client *azblob.Client, err error) (*azblob.Client, error) {
	if err != nil {
		return nil, errors.New("spec.endpoint is not the address of an account; write https://account.blob.core.windows.net")
	}
	return client, nil
}

// List implements [bucket.Service].
func (s *Service) List(ctx context.Context, prefix string, visit func(bucket.Object) error) error {
	ctx, exchange := bucket.Begin(ctx, 0)
	options := &azblob.ListBlobsFlatOptions{}
	if prefix != "" {
		options.Prefix = &prefix
	}
	pages := s.client.NewListBlobsFlatPager(s.options.Container, options)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.explain(exchange, err)
		}
		if page.Segment == nil {
			continue
		}
		for _, b := range page.Segment.BlobItems {
			if o, ok := object(b); ok {
				if err := visit(o); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// object is a blob as it is listed. Flux' revisions are made of ETags with the quotes that they have in headers.
func object(b *container.BlobItem) (bucket.Object, bool) {
	if b == nil || b.Name == nil {
		return bucket.Object{}, false
	}
	o := bucket.Object{Key: *b.Name}
	p := b.Properties
	if p == nil {
		return o, true
	}
	if p.ETag != nil {
		o.ETag = `"` + strings.Trim(string(*p.ETag), `"`) + `"`
	}
	if p.ContentLength != nil {
		o.Size = *p.ContentLength
	}
	// Whoever uploads a blob says what its MD5 is, right or wrong.
	o.MD5 = hex.EncodeToString(p.ContentMD5)
	return o, true
}

// Open implements [bucket.Service].
func (s *Service) Open(ctx context.Context, o bucket.Object) (io.ReadCloser, error) {
	ctx, exchange := bucket.Begin(ctx, o.Size+1)
	options := &azblob.DownloadStreamOptions{}
	if o.ETag != "" {
		tag := azcore.ETag(o.ETag)
		options.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &tag}}
	}
	res, err := s.client.DownloadStream(ctx, s.options.Container, o.Key, options)
	if err != nil {
		if exchange.Status == http.StatusNotFound || exchange.Status == http.StatusPreconditionFailed {
			return nil, bucket.ErrChanged
		}
		return nil, s.explain(exchange, err)
	}
	return s.options.Transport.Body(exchange, res.Body), nil
}

// explain says for the user what went wrong; the service's own words, and addresses with a signature, are quoted to nobody.
func (s *Service) explain(e *bucket.Exchange, err error) error {
	if known := s.options.Transport.Explain(e, err); known != nil {
		return known
	}
	host, login := s.options.Transport.Peer.Host, s.options.Login
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s does not answer as Azure Blob Storage does; check spec.endpoint", host)
	}
	switch {
	case bloberror.HasCode(err, bloberror.ContainerNotFound):
		return errors.New("there is no container of this name; check spec.bucketName")
	case answer.StatusCode == http.StatusUnauthorized, bloberror.HasCode(err, bloberror.AuthenticationFailed, bloberror.InvalidAuthenticationInfo):
		login.forget(s.options.Kept)
		return fmt.Errorf(
			"%w: those of %s are wrong, no longer valid, or for another account or container than those in spec.endpoint and spec.bucketName",
			bucket.ErrRefused, login)
	case answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: access is denied to %s; grant it Storage Blob Data Reader, or the permissions read and list, for the container",
			bucket.ErrRefused, login)
	}
	return fmt.Errorf("%s refuses the request with the HTTP status %d", host, answer.StatusCode)
}
