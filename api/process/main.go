package process

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Main runs a controller until it is asked to end by SIGTERM or SIGINT. When that fails it says why on standard error, in one
// line, and exits with 1. run gets the arguments without the program's name, and the environment.
func Main(name string, run func(ctx context.Context, args []string, getenv func(string) string) error) {
	err := run(ctrl.SetupSignalHandler(), os.Args[1:], os.Getenv)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}
