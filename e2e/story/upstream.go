package story

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-gitops/sluice/e2e/cluster/upstream"
)

// oci does what the flux command line does in a registry:
//
//	oci push apps app:1.0.0 org.opencontainers.image.revision=main@sha1:…   pushes a folder, and sets $DIGEST
//	oci tag app:1.0.0 latest                                                gives it another tag
func (s *Session) oci(ctx context.Context) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) < 3 || neg {
			ts.Fatalf("usage: oci push folder repository:tag [annotation=value …] | oci tag repository:tag tag")
		}
		registry := s.World.Registry
		switch args[0] {
		case "push":
			annotations := map[string]string{}
			for _, arg := range args[3:] {
				key, value, _ := strings.Cut(arg, "=")
				annotations[key] = value
			}
			digest, err := registry.Push(ctx, ts.Getenv("NS")+"/"+args[2], files(ts, ts.MkAbs(args[1])), annotations)
			ts.Check(err)
			ts.Setenv("DIGEST", digest)
		case "tag":
			ts.Check(registry.Tag(ctx, ts.Getenv("NS")+"/"+args[1], args[2]))
		default:
			ts.Fatalf("usage: oci push|tag")
		}
	}
}

// helmRepo packages charts with helm, and has a Helm repository serve them beside what it serves: helm-repo stable charts/hello
func (s *Session) helmRepo(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: helm-repo repository chart-folder …")
	}
	repository := ts.Getenv("NS") + "/" + args[0]
	folder := ts.MkAbs(".helm-repo-" + args[0])
	ts.Check(os.MkdirAll(folder, 0o750))
	for _, chart := range args[1:] {
		run(ts, false, "helm", "package", ts.MkAbs(chart), "--destination", folder)
	}
	run(ts, false, "helm", "repo", "index", folder, "--url", s.World.Charts.URL(repository))
	for name, content := range files(ts, folder) {
		s.World.Charts.Put(repository, name, content)
	}
}

// bucket makes the objects of a bucket in the S3-compatible store what a folder holds: bucket $NS apps
func (s *Session) bucket(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: bucket name folder")
	}
	s.World.Buckets.Replace(args[0], files(ts, ts.MkAbs(args[1])))
}

// artifact packs a folder and serves it over HTTP, as whoever produces an ExternalArtifact does; it sets $ARTIFACT to its URL and
// $DIGEST to its digest: artifact apps
func (s *Session) artifact(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: artifact folder")
	}
	packed, err := upstream.Pack(files(ts, ts.MkAbs(args[0])))
	ts.Check(err)
	sum := sha256.Sum256(packed)
	name, repository := hex.EncodeToString(sum[:])+".tar.gz", ts.Getenv("NS")+"/artifacts"
	s.World.Charts.Put(repository, name, packed)
	ts.Setenv("ARTIFACT", s.World.Charts.URL(repository)+"/"+name)
	ts.Setenv("DIGEST", "sha256:"+hex.EncodeToString(sum[:]))
}

// locked makes a repository of the registry, or of the charts, ask for a login: locked registry app ada password
func (s *Session) locked(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: locked registry|charts repository user password")
	}
	path := ts.Getenv("NS") + "/" + args[1]
	switch args[0] {
	case "registry":
		s.World.Registry.RequireLogin("/v2/"+path, args[2], args[3])
	case "charts":
		s.World.Charts.RequireLogin("/"+path, args[2], args[3])
	default:
		ts.Fatalf("usage: locked registry|charts repository user password")
	}
}

// files are those below a folder, by path. Git's own are left out, as the flux command line does.
func files(ts *testscript.TestScript, folder string) map[string][]byte {
	all := map[string][]byte{}
	ts.Check(filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == ".git" {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	}))
	return all
}
