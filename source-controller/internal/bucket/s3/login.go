package s3

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sluice-gitops/sluice/source-controller/internal/bucket"
)

// Login is who asks. Its zero value is nobody: what the bucket says to everybody. It prints as where it comes from.
type Login struct {
	// From names where the login comes from, such as "the Secret of spec.secretRef".
	From string
	// Hint is added to the message that it is refused.
	Hint string
	// AccessKey and SecretKey do not end.
	AccessKey, SecretKey string
	// LDAP is where to get keys that end.
	LDAP *LDAP
	// Cloud gives out keys of a cloud's.
	Cloud aws.CredentialsProvider
}

// LDAP is a service that gives out keys to those with a login of a directory.
type LDAP struct {
	Endpoint           string
	Username, Password string
	// Hint is added to the message that the login is refused.
	Hint string
	// Transport carries its requests.
	Transport *bucket.Transport
}

// ParseKeys reads accesskey and secretkey.
func ParseKeys(data map[string][]byte) (access, secret string, err error) {
	access, secret = string(data["accesskey"]), string(data["secretkey"])
	if access == "" || secret == "" {
		return "", "", errors.New("it must have accesskey and secretkey")
	}
	return access, secret, nil
}

// IsZero is set when nobody in particular asks.
func (l Login) IsZero() bool { return l.AccessKey == "" && l.LDAP == nil && l.Cloud == nil }

// String keeps keys out of whatever prints a login.
func (l Login) String() string { return l.From }

// GoString keeps keys out of whatever prints a login.
func (l Login) GoString() string { return l.From }

// keys returns what requests are signed with. There are no others: what this machine may have is for clouds alone.
func (l Login) keys(ctx context.Context, kept *bucket.Kept) (*credentials.Credentials, error) {
	switch {
	case l.AccessKey != "":
		return credentials.NewStaticV4(l.AccessKey, l.SecretKey, ""), nil
	case l.LDAP != nil:
		return l.LDAP.keys(ctx, kept)
	case l.Cloud != nil:
		got, err := l.Cloud.Retrieve(ctx)
		if err != nil {
			return nil, err
		}
		return credentials.NewStaticV4(got.AccessKeyID, got.SecretAccessKey, got.SessionToken), nil
	}
	return credentials.NewStatic("", "", "", credentials.SignatureAnonymous), nil
}

// forget drops keys that were refused before they ended.
func (l Login) forget(kept *bucket.Kept) {
	if l.LDAP != nil {
		kept.Drop(l.LDAP.key())
	}
}

func (l *LDAP) key() string { return bucket.KeyOf("ldap", l.Endpoint, l.Username, l.Password) }

// keys gets keys, unless there are some that still hold.
func (l *LDAP) keys(ctx context.Context, kept *bucket.Kept) (*credentials.Credentials, error) {
	source, err := bucket.Keep(kept, l.key(), func() (*credentials.Credentials, error) {
		return credentials.New(&credentials.LDAPIdentity{
			STSEndpoint: l.Endpoint, LDAPUsername: l.Username, LDAPPassword: l.Password,
		}), nil
	})
	if err != nil {
		return nil, err
	}
	client, exchange := l.Transport.Client(ctx)
	// The connections are this attempt's; the keys are kept.
	value, err := source.GetWithContext(&credentials.CredContext{Client: client, Endpoint: l.Endpoint})
	if err == nil && value.AccessKeyID != "" && value.SecretAccessKey != "" {
		return credentials.NewStaticV4(value.AccessKeyID, value.SecretAccessKey, value.SessionToken), nil
	}
	kept.Drop(l.key())
	return nil, fmt.Errorf("spec.sts: %w", l.explain(exchange, err))
}

func (l *LDAP) explain(e *bucket.Exchange, err error) error {
	if known := l.Transport.Explain(e, err); known != nil {
		return known
	}
	if e.Status >= 400 {
		return fmt.Errorf("%w: %s answers with the HTTP status %d; check username and password in the Secret of spec.sts.secretRef%s",
			bucket.ErrRefused, l.Transport.Peer.Host, e.Status, l.Hint)
	}
	return fmt.Errorf("%s does not answer with keys, as a Security Token Service does; check spec.sts.endpoint", l.Transport.Peer.Host)
}
