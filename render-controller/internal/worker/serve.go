package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Handler does one job in the child. Retire is set when the process must not do another. An error ends the child: what
// its user is to know belongs into the result.
type Handler func(job json.RawMessage, parent *Parent) (result any, retire bool, err error)

// Parent is the other end, as a job sees it. It is for the job's goroutine.
type Parent struct {
	out     io.Writer
	answers <-chan []byte
}

// call and answer are the bodies of a question and of its answer.
type call struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

type answer struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// done is the body that ends a result.
type done struct {
	Result json.RawMessage `json:"result"`
	Retire bool            `json:"retire,omitempty"`
}

var errOrphaned = errors.New("the parent is gone")

// Part sends a part of the result.
func (p *Parent) Part(part any) error {
	body, err := json.Marshal(part)
	if err != nil {
		return fmt.Errorf("send part of the result: %w", err)
	}
	return writeFrame(p.out, kindPart, body)
}

// Call asks the parent, and decodes its answer into result.
func (p *Parent) Call(method string, params, result any) error {
	raw, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("ask the parent: %w", err)
	}
	body, err := json.Marshal(call{Method: method, Params: raw})
	if err != nil {
		return fmt.Errorf("ask the parent: %w", err)
	}
	if err := writeFrame(p.out, kindCall, body); err != nil {
		return err
	}
	reply, ok := <-p.answers
	if !ok {
		return errOrphaned
	}
	var got answer
	if err := json.Unmarshal(reply, &got); err != nil {
		return fmt.Errorf("read the parent's answer: %w", err)
	}
	if got.Error != "" {
		return errors.New(got.Error)
	}
	return json.Unmarshal(got.Result, result)
}

// setup is the body of the first frame.
type setup struct {
	// Folder is [Options.Folder].
	Folder string `json:"folder,omitempty"`
}

// Serve is the life of a child: it confines itself, and does jobs until the parent closes its end, which is no error. It
// returns at once then, even while a job runs: the process is to end.
func Serve(handle Handler) error { return begin(handle, confine) }

// begin does what the parent's first frame asks for, and answers it. Nothing but frames is written to standard output.
func begin(handle Handler, confine func(folder string) (Confinement, error)) error {
	in, out := bufio.NewReader(os.Stdin), os.Stdout
	os.Stdout = os.Stderr
	k, body, err := readFrame(in)
	if err != nil {
		return err
	}
	var asked setup
	if k != kindSetup || json.Unmarshal(body, &asked) != nil {
		return fmt.Errorf("%w: kind %q is not how a parent begins", errFrame, k)
	}
	inForce, err := confine(asked.Folder)
	if err != nil {
		return err
	}
	if body, err = json.Marshal(inForce); err != nil {
		return err
	}
	if err := writeFrame(out, kindHello, body); err != nil {
		return err
	}
	return serve(in, out, handle)
}

// serve does jobs until the parent closes its end.
func serve(in io.Reader, out io.Writer, handle Handler) error {
	jobs, answers := make(chan []byte), make(chan []byte)
	ended := make(chan error, 1)
	go func() {
		ended <- receive(in, jobs, answers)
		close(answers)
	}()
	parent := &Parent{out: out, answers: answers}
	failed := make(chan error, 1)
	go func() {
		for job := range jobs {
			if err := do(job, parent, handle); err != nil {
				failed <- err
				return
			}
		}
	}()
	select {
	case err := <-ended:
		return err
	case err := <-failed:
		return err
	}
}

// receive hands the parent's frames over.
func receive(in io.Reader, jobs, answers chan<- []byte) error {
	for {
		k, body, err := readFrame(in)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case k == kindJob:
			jobs <- body
		case k == kindAnswer:
			answers <- body
		default:
			return fmt.Errorf("%w: kind %q is not for a child", errFrame, k)
		}
	}
}

func do(job []byte, parent *Parent, handle Handler) error {
	result, retire, err := handle(job, parent)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("send the result: %w", err)
	}
	body, err := json.Marshal(done{Result: raw, Retire: retire})
	if err != nil {
		return fmt.Errorf("send the result: %w", err)
	}
	return writeFrame(parent.out, kindDone, body)
}
