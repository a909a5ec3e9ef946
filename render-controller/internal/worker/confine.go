package worker

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// Confinement is what a child has taken from itself before its first job, as far as its kernel can.
type Confinement struct {
	// Landlock is the version of the kernel's interface whose every restriction is in force; 0 for none. The child reads
	// files in the folder it was given and nowhere else, writes none, and reaches no TCP port (since version 4) and no
	// process but itself (6).
	Landlock int `json:"landlock,omitempty"`
	// Seccomp says that the kernel refuses what a rendering has no use for: sockets, programs, new processes, signals to
	// others, every change to a file.
	Seccomp bool `json:"seccomp,omitempty"`
	// Missing says why the others are not in force.
	Missing []string `json:"missing,omitempty"`
}

// String is for a log.
func (c Confinement) String() string {
	var parts []string
	if c.Landlock > 0 {
		parts = append(parts, fmt.Sprintf("landlock ABI %d", c.Landlock))
	}
	if c.Seccomp {
		parts = append(parts, "seccomp")
	}
	if len(c.Missing) > 0 {
		parts = append(parts, "not available: "+strings.Join(c.Missing, "; "))
	}
	return strings.Join(parts, ", ")
}

// confine takes from this process, for good, what a job has no use for. A kernel that cannot is no error; a folder that is
// not there is one. Beside what the kernel holds, HTTP is refused and programs are not found: that is the net under the
// checks that refuse such things with a message for the user.
func confine(folder string) (Confinement, error) {
	http.DefaultTransport = refuse{}
	if err := os.Setenv("PATH", ""); err != nil {
		return Confinement{}, fmt.Errorf("confine worker: %w", err)
	}
	if folder != "" {
		if _, err := os.Stat(folder); err != nil {
			return Confinement{}, fmt.Errorf("confine worker: %w", err)
		}
	}
	var c Confinement
	var err error
	if c.Landlock, err = landlockTo(folder); err != nil {
		c.Missing = append(c.Missing, "landlock: "+err.Error())
	}
	if err := filterCalls(); err != nil {
		c.Missing = append(c.Missing, "seccomp: "+err.Error())
	} else {
		c.Seccomp = true
	}
	return c, nil
}

// refuse is a transport without a network.
type refuse struct{}

var errNoNetwork = errors.New("nothing is fetched during a build")

func (refuse) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNoNetwork }
