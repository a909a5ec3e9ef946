package story

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// damage spoils the artifact that a source names, where source-controller serves it from, and leaves the source's status
// as it is. A file that is cut is half as long, one that is flipped has another byte in its middle, one that is lost is
// not there: damage gitrepository/fleet cut|flip|lose
func (s *Session) damage(ctx context.Context) command {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 2 {
			ts.Fatalf("usage: damage kind/name cut|flip|lose")
		}
		artifact, err := s.World.Cluster.Kubectl(ctx, "-n", ts.Getenv("NS"), "get", args[0], "-o", "jsonpath={.status.artifact.path}")
		ts.Check(err)
		if artifact == "" {
			ts.Fatalf("%s has no artifact", args[0])
		}
		ts.Check(spoil(filepath.Join(s.World.Stack.Mount("source-controller", "/data"), strings.TrimSpace(artifact)), args[1]))
	}
}

// spoil changes a file in place, so that it keeps its modification time no more than a failing disk would.
func spoil(file, how string) error {
	if how == "lose" {
		return os.Remove(file)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	switch middle := len(content) / 2; how {
	case "cut":
		content = content[:middle]
	case "flip":
		content[middle] ^= 0xff
	default:
		return fmt.Errorf("damage %s: want cut, flip or lose", how)
	}
	return os.WriteFile(file, content, 0o600)
}
