package local

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	imageRepository = "ghcr.io/sluice-gitops"
	imageUser       = "65532:65532"
	// rootsFile is where Go programs look first for the certificates they trust; without it a program in an empty image
	// reaches no https address.
	rootsFile = "etc/ssl/certs/ca-certificates.crt"
)

var appVersion = regexp.MustCompile(`(?m)^appVersion: "?([^"\s]+)"?$`)

// Images packs each program that make build left in bin/ into bin/images/<controller>.tar, an archive that docker load
// and ctr images import take. The same program gives the same image, to the byte. The tag is that of the chart, or
// $VERSION.
func Images(ctx context.Context) error {
	root, err := root()
	if err != nil {
		return err
	}
	version, err := imageVersion(root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "bin", "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the images: %w", err)
	}
	for _, controller := range []string{"source-controller", "render-controller", "sync-controller", "notify-controller"} {
		if err := ctx.Err(); err != nil {
			return err
		}
		archive := filepath.Join(dir, controller+".tar")
		digest, err := packImage(filepath.Join(root, "bin", controller), archive, version)
		if err != nil {
			return fmt.Errorf("image of %s: %w", controller, err)
		}
		fmt.Printf("%s/%s:%s %s %s\n", imageRepository, controller, version, digest, archive)
	}
	return nil
}

// imageVersion is the tag of the images: the one that the chart asks for when $VERSION does not say otherwise.
func imageVersion(root string) (string, error) {
	if version := os.Getenv("VERSION"); version != "" {
		return version, nil
	}
	path := filepath.Join(root, "charts", "sluice", "Chart.yaml")
	chart, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the version of the chart: %w", err)
	}
	found := appVersion.FindSubmatch(chart)
	if found == nil {
		return "", fmt.Errorf("%s has no appVersion", path)
	}
	return "v" + string(found[1]), nil
}

// packImage writes the archive of a program's image and returns the image's digest. The image is named after the program.
func packImage(program, archive, version string) (v1.Hash, error) {
	binary, err := os.ReadFile(program)
	if errors.Is(err, os.ErrNotExist) {
		return v1.Hash{}, fmt.Errorf("%s is not there: make build builds it", program)
	}
	if err != nil {
		return v1.Hash{}, err
	}
	controller := filepath.Base(program)
	img, err := image(controller, version, binary)
	if err != nil {
		return v1.Hash{}, err
	}
	tag, err := name.NewTag(imageRepository + "/" + controller + ":" + version)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := tarball.WriteToFile(archive+".new", tag, img); err != nil {
		return v1.Hash{}, fmt.Errorf("write %s: %w", archive, err)
	}
	if err := os.Rename(archive+".new", archive); err != nil {
		return v1.Hash{}, err
	}
	return img.Digest()
}

// image is a layer with the program and the certificates of the public authorities, and nothing else.
func image(controller, version string, binary []byte) (v1.Image, error) {
	architecture, err := staticArchitecture(binary)
	if err != nil {
		return nil, err
	}
	files, err := imageFiles(controller, binary)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil })
	if err != nil {
		return nil, fmt.Errorf("make layer: %w", err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("add layer: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make config: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	for i := range config.History {
		config.History[i].Created = config.Created
	}
	config.Config = v1.Config{
		Entrypoint: []string{"/" + controller},
		User:       imageUser,
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    controller,
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.source":   "https://github.com/sluice-gitops/sluice",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, config)
}

// staticArchitecture is the program's architecture as images name it. An empty image holds no libraries, so the program
// must not ask for any.
func staticArchitecture(binary []byte) (string, error) {
	program, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return "", fmt.Errorf("not a program for Linux (GOOS=linux make build makes one): %w", err)
	}
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			return "", errors.New("the program is linked to libraries, which the image does not hold: build it with CGO_ENABLED=0")
		}
	}
	switch program.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	default:
		return "", fmt.Errorf("a program for %s, which no image is made for", strings.TrimPrefix(program.Machine.String(), "EM_"))
	}
}

// imageFiles is the layer's archive. Times and owners are constant.
func imageFiles(controller string, binary []byte) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	files := []struct {
		name    string
		mode    int64
		content []byte
	}{
		{"etc/", 0o755, nil},
		{"etc/ssl/", 0o755, nil},
		{"etc/ssl/certs/", 0o755, nil},
		{rootsFile, 0o444, publicRoots()},
		{controller, 0o555, binary},
	}
	for _, file := range files {
		header := &tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		header.Typeflag = tar.TypeReg
		if strings.HasSuffix(file.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file.name, err)
		}
		if _, err := w.Write(file.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return archive.Bytes(), nil
}

// publicRoots are the authorities that Mozilla trusts without reserve, from the list that the Go project publishes: the
// same on every machine. A file of certificates cannot express the reserves, so the others are left out.
func publicRoots() []byte {
	var file bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			file.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return file.Bytes()
}
