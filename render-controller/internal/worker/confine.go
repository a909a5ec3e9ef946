package worker

import (
	"errors"
	"fmt"
	"net/http"
	"os"
)

// Confine prepares a child before its first job: HTTP is refused, whoever asks for it, programs are not found, and nothing
// but frames is written to standard output, which it returns. It is the net under the checks that refuse such things with
// a message for the user.
func Confine() (*os.File, error) {
	http.DefaultTransport = refuse{}
	if err := os.Setenv("PATH", ""); err != nil {
		return nil, fmt.Errorf("confine worker: %w", err)
	}
	out := os.Stdout
	os.Stdout = os.Stderr
	return out, nil
}

// refuse is a transport without a network.
type refuse struct{}

var errNoNetwork = errors.New("nothing is fetched during a build")

func (refuse) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNoNetwork }
