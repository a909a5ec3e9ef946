package storage

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/sync-controller/internal/hindrance"
)

const (
	maxRecord  = 1 << 20  // bytes of a record as the API server takes it: the data of a Secret
	maxDecoded = 64 << 20 // bytes of a record's JSON
	maxRecords = 500      // records of one release that are read
)

// bounded is a Secret client for Helm's driver, which knows neither contexts nor limits: it would unpack whatever a Secret
// holds, and leave out what it cannot read, so that a version number could be given twice.
type bounded struct {
	corev1client.SecretInterface
	ctx       context.Context // held because Helm's driver passes none
	ref       Ref
	namespace string
	listed    int // records in the last list
}

func (b *bounded) List(_ context.Context, options metav1.ListOptions) (*corev1.SecretList, error) {
	options.Limit = maxRecords
	list, err := b.SecretInterface.List(b.ctx, options)
	if err != nil {
		return nil, b.said("", err)
	}
	if list.Continue != "" {
		return nil, b.unreadable("", fmt.Sprintf("more than %d records: delete old ones", maxRecords))
	}
	for i := range list.Items {
		if err := checkRecord(list.Items[i].Data["release"]); err != nil {
			message := fmt.Sprintf("secret %s/%s holds no Helm release (%s): delete it", list.Items[i].Namespace, list.Items[i].Name, err)
			return nil, b.unreadable(list.Items[i].Name, message)
		}
	}
	b.listed = len(list.Items)
	return list, nil
}

func (b *bounded) Create(_ context.Context, secret *corev1.Secret, options metav1.CreateOptions) (*corev1.Secret, error) {
	if err := checkSize(secret); err != nil {
		return nil, err
	}
	created, err := b.SecretInterface.Create(b.ctx, secret, options)
	return created, b.said(secret.Name, err)
}

func (b *bounded) Update(_ context.Context, secret *corev1.Secret, options metav1.UpdateOptions) (*corev1.Secret, error) {
	if err := checkSize(secret); err != nil {
		return nil, err
	}
	updated, err := b.SecretInterface.Update(b.ctx, secret, options)
	return updated, b.said(secret.Name, err)
}

func (b *bounded) Delete(_ context.Context, name string, options metav1.DeleteOptions) error {
	return b.said(name, b.SecretInterface.Delete(b.ctx, name, options))
}

// said is what the API server answered about a record, without anything that may be secret: admission webhooks repeat what
// they refuse. What the driver or a caller branches on stays what it is.
func (b *bounded) said(name string, err error) error {
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || b.ctx.Err() != nil {
		return err
	}
	shown := name
	if name == "" {
		shown = "sh.helm.release.v1." + b.ref.Name + ".*"
	}
	return b.refused(name, hindrance.Of(err), redact.Object(err, "Secret", b.namespace, shown, true))
}

// unreadable is about records that are there and tell nothing; those of a release together are meant when name is empty.
func (b *bounded) unreadable(name, message string) error {
	return b.refused(name, hindrance.Unreadable, message)
}

func (b *bounded) refused(name string, cause hindrance.Cause, message string) error {
	return &hindrance.Error{Cause: cause, What: b.what(name), Namespace: b.namespace, Message: message}
}

// what names a record, or all of a release.
func (b *bounded) what(name string) string {
	if name == "" {
		return "the records of release " + b.ref.String()
	}
	return "Secret/" + b.namespace + "/" + name
}

func checkSize(secret *corev1.Secret) error {
	if size := len(secret.Data["release"]); size > maxRecord {
		return fmt.Errorf("the release's record has %d bytes, Kubernetes takes %d: keep large files out of the chart (.helmignore)",
			size, maxRecord)
	}
	return nil
}

// checkRecord unpacks a record to count its bytes.
func checkRecord(data []byte) error {
	packed, err := base64.StdEncoding.DecodeString(string(data))
	if err != nil {
		return errors.New("not base64")
	}
	if !bytes.HasPrefix(packed, []byte{0x1f, 0x8b, 0x08}) {
		return nil // plain JSON, as very old versions wrote it
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return errors.New("not gzip")
	}
	size, err := io.Copy(io.Discard, io.LimitReader(unpacked, maxDecoded+1))
	switch {
	case err != nil:
		return errors.New("not gzip")
	case size > maxDecoded:
		return fmt.Errorf("larger than %d MiB", maxDecoded>>20)
	default:
		return nil
	}
}
