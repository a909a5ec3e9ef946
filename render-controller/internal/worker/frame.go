package worker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// kind says what a frame is.
type kind byte

const (
	kindSetup  kind = 's' // parent to child, first of all: what it may reach
	kindHello  kind = 'h' // child to parent, first of all: what it may reach no more
	kindJob    kind = 'j' // parent to child: what to do
	kindPart   kind = 'p' // child to parent: a part of the result
	kindCall   kind = 'c' // child to parent: a question
	kindAnswer kind = 'a' // parent to child: its answer
	kindDone   kind = 'd' // child to parent: the end of the result
)

// MaxFrame is the largest body of a frame, in bytes.
const MaxFrame = 128 << 20

// headerSize is a kind and the body's length, big-endian.
const headerSize = 5

var errFrame = errors.New("not a frame")

// writeFrame writes one frame: its kind, its length, its body.
func writeFrame(w io.Writer, k kind, body []byte) error {
	if len(body) > MaxFrame {
		return fmt.Errorf("a message of %d bytes is more than the %d that a frame may have", len(body), MaxFrame)
	}
	header := make([]byte, headerSize, headerSize+len(body))
	header[0] = byte(k)
	binary.BigEndian.PutUint32(header[1:], uint32(len(body)))
	_, err := w.Write(append(header, body...))
	return err
}

// readFrame reads one frame. It returns io.EOF when there is none. Memory is taken as the body comes in, not by what its
// header promises.
func readFrame(r io.Reader) (kind, []byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, nil, fmt.Errorf("%w: cut short", errFrame)
		}
		return 0, nil, err
	}
	k := kind(header[0])
	switch k {
	case kindSetup, kindHello, kindJob, kindPart, kindCall, kindAnswer, kindDone:
	default:
		return 0, nil, fmt.Errorf("%w: unknown kind %d", errFrame, header[0])
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length > MaxFrame {
		return 0, nil, fmt.Errorf("%w: %d bytes are more than the %d that are allowed", errFrame, length, MaxFrame)
	}
	var body bytes.Buffer
	read, err := body.ReadFrom(io.LimitReader(r, int64(length)))
	if err != nil {
		return 0, nil, err
	}
	if read != int64(length) {
		return 0, nil, fmt.Errorf("%w: cut short", errFrame)
	}
	return k, body.Bytes(), nil
}
