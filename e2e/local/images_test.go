package local

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// program is the smallest file that says of itself to be a program: an ELF header and one segment of the given type.
func program(t *testing.T, machine elf.Machine, segment elf.ProgType) []byte {
	t.Helper()
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	var file bytes.Buffer
	for _, part := range []any{header, elf.Prog64{Type: uint32(segment)}} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

func TestPackImage(t *testing.T) {
	dir := t.TempDir()
	binary := program(t, elf.EM_AARCH64, elf.PT_LOAD)
	path := filepath.Join(dir, "sync-controller")
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "sync-controller.tar")
	digest, err := packImage(path, archive, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}

	tag, err := name.NewTag("ghcr.io/sluice-gitops/sync-controller:v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		t.Fatalf("the archive does not hold its tag: %v", err)
	}
	config, err := loaded.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != "arm64" || config.Created.Unix() != 0 {
		t.Errorf("platform %s/%s, created %s; want linux/arm64 at the epoch", config.OS, config.Architecture, config.Created)
	}
	want := v1.Config{
		User: "65532:65532", Entrypoint: []string{"/sync-controller"}, WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title": "sync-controller", "org.opencontainers.image.version": "v1.2.3",
			"org.opencontainers.image.source": "https://github.com/sluice-gitops/sluice", "org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("what the image runs:\n%s", diff)
	}
	files := unpack(t, loaded)
	if !bytes.Equal(files["sync-controller"], binary) {
		t.Error("the program in the image is not the program that was packed")
	}
	if roots := x509.NewCertPool(); !roots.AppendCertsFromPEM(files[rootsFile]) {
		t.Error("the image trusts no public authority: it could reach no https address")
	}
	if len(files) != 2 {
		t.Errorf("%d files in the image; want the program and the certificates", len(files))
	}

	again, err := packImage(path, filepath.Join(dir, "again.tar"), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if digest != again {
		t.Errorf("the same program gave %s, then %s", digest, again)
	}
}

// unpack returns the regular files of an image, and fails on what is writable or does not belong to root.
func unpack(t *testing.T, img v1.Image) map[string][]byte {
	t.Helper()
	stream := mutate.Extract(img)
	t.Cleanup(func() { _ = stream.Close() })
	files := map[string][]byte{}
	for r := tar.NewReader(stream); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 0 {
			t.Errorf("%s belongs to %d:%d and is of %s; want root and the epoch", header.Name, header.Uid, header.Gid, header.ModTime)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if header.Mode&0o222 != 0 {
			t.Errorf("%s is writable", header.Name)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPackImageRefuses(t *testing.T) {
	tests := map[string]struct {
		reason  string
		content []byte
		want    string
	}{
		"Missing":  {"make images without make build", nil, "make build"},
		"Script":   {"it would not start in an empty image", []byte("#!/bin/sh\n"), "not a program for Linux"},
		"Dynamic":  {"its libraries would not be there", program(t, elf.EM_X86_64, elf.PT_INTERP), "CGO_ENABLED=0"},
		"Platform": {"an image would carry a wrong platform", program(t, elf.EM_S390, elf.PT_LOAD), "S390"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sync-controller")
			if tc.content != nil {
				if err := os.WriteFile(path, tc.content, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			_, err := packImage(path, path+".tar", "v1.2.3")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: error %v; want one that says %q", tc.reason, err, tc.want)
			}
		})
	}
}

func TestImageVersion(t *testing.T) {
	t.Setenv("VERSION", "")
	version, err := imageVersion(filepath.Join("..", ".."))
	if err != nil || !strings.HasPrefix(version, "v") {
		t.Errorf("version %q, error %v; want what the chart's Deployments ask for", version, err)
	}
	t.Setenv("VERSION", "v9.9.9")
	if version, err := imageVersion("nowhere"); err != nil || version != "v9.9.9" {
		t.Errorf("version %q, error %v; want that of the environment", version, err)
	}
}
