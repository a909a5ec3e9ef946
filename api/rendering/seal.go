package rendering

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"k8s.io/apimachinery/pkg/types"
)

// window bounds what zstd remembers, on both sides, in bytes.
const window = 4 << 20

// line is every line of the file after the header: the release, if there is one, and then the objects.
type line struct {
	Release json.RawMessage `json:"release,omitempty"`
	Phase   string          `json:"phase,omitempty"`
	Tainted bool            `json:"tainted,omitempty"`
	Object  json.RawMessage `json:"object,omitempty"`
}

// Seal writes the content for a subject, sealed to the recipients. Tag is what [ComputeTag] or [TagBytes] said about it.
// What was written before an error is of no use. One object at a time is held in memory. Errors wrap [ErrLimit] when the
// content is too large, and name the object; an error of w passes through.
func Seal(w io.Writer, recipients []age.Recipient, subject types.UID, tag Tag, c Content) error {
	if len(recipients) == 0 || len(recipients) > MaxKeys {
		return fmt.Errorf("seal rendering: %d recipients, want 1 to %d", len(recipients), MaxKeys)
	}
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return fmt.Errorf("seal rendering: %w", err)
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	if err != nil {
		return fmt.Errorf("seal rendering: %w", err)
	}
	if err := writeLines(packed, subject, tag, c); err != nil {
		return errors.Join(fmt.Errorf("seal rendering: %w", err), packed.Close())
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("seal rendering: %w", err)
	}
	if err := sealed.Close(); err != nil {
		return fmt.Errorf("seal rendering: %w", err)
	}
	return nil
}

// writeLines writes the plaintext of the format.
func writeLines(w io.Writer, subject types.UID, tag Tag, c Content) error {
	if len(c.Objects) > MaxObjects {
		return fmt.Errorf("%d objects are more than %d: %w", len(c.Objects), MaxObjects, ErrLimit)
	}
	out := &lineWriter{w: w, left: MaxPlaintext}
	header, err := encode(Header{Format: Format, Subject: subject, Tag: tag, Objects: len(c.Objects)})
	if err != nil {
		return err
	}
	if err := out.write(header); err != nil {
		return err
	}
	if err := writeRelease(out, c.Release); err != nil {
		return err
	}
	for i, object := range c.Objects {
		data, err := encodeObject(object)
		if err != nil {
			return fmt.Errorf("object %d: %w", i+1, err)
		}
		if err := out.write(data); err != nil {
			return fmt.Errorf("object %d: %w", i+1, err)
		}
	}
	return nil
}

func writeRelease(out *lineWriter, release json.RawMessage) error {
	if release == nil {
		return nil
	}
	if len(release) > MaxRelease { // before it is copied
		return tooLong(len(release))
	}
	data, err := encode(line{Release: release})
	if err != nil {
		return errors.New("the release is not valid JSON")
	}
	if len(data) > MaxRelease {
		return tooLong(len(data))
	}
	return out.write(data)
}

func tooLong(release int) error {
	return fmt.Errorf("the release has %d bytes, more than %d: %w", release, MaxRelease, ErrLimit)
}

// encodeObject returns an object's line in canonical form: keys sorted, no white space, nothing escaped without need.
func encodeObject(o Object) ([]byte, error) {
	if o.Object == nil || o.Object.GetAPIVersion() == "" || o.Object.GetKind() == "" {
		return nil, errors.New("apiVersion and kind are required")
	}
	object, err := encode(o.Object.Object)
	if err != nil {
		return nil, fmt.Errorf("%s %s/%s cannot be written as JSON", o.Object.GetKind(), o.Object.GetNamespace(), o.Object.GetName())
	}
	if len(object) > MaxObject {
		return nil, fmt.Errorf("%s %s/%s has %d bytes, more than %d: %w",
			o.Object.GetKind(), o.Object.GetNamespace(), o.Object.GetName(), len(object), MaxObject, ErrLimit)
	}
	return encode(line{Phase: o.Phase, Tainted: o.Tainted, Object: object})
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

type lineWriter struct {
	w    io.Writer
	left int
}

func (l *lineWriter) write(data []byte) error {
	if l.left -= len(data) + 1; l.left < 0 {
		return fmt.Errorf("more than %d bytes uncompressed: %w", MaxPlaintext, ErrLimit)
	}
	_, err := l.w.Write(append(data, '\n'))
	return err
}
