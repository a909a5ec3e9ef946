package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// What a chart may be. Helm bounds each archive by itself; a chart of packaged charts would multiply that, so all of it is
// counted together before Helm sees any.
const (
	maxArchive   = 16 << 20  // bytes of the .tgz
	maxUnpacked  = 100 << 20 // bytes of everything in it, packaged subcharts unpacked
	maxFile      = 5 << 20   // bytes of one file, as in Helm
	maxFiles     = 10_000    // files, those of subcharts included
	maxTemplates = 5_000     // files under templates/, those of subcharts included
	maxPath      = 1_024     // characters of a file's path: Helm goes one call deeper for each charts/ in it
	maxNesting   = 8         // packaged charts inside of packaged charts
)

var errTooLarge = errors.New("unpacked it is larger than 100 MiB") // maxUnpacked

// load reads a packaged chart within the limits.
func load(in Input) (*chart.Chart, error) {
	raw, err := archive(in)
	if err != nil {
		return nil, err
	}
	left := budget{bytes: maxUnpacked, files: maxFiles, templates: maxTemplates}
	if err := left.spend(bytes.NewReader(raw), 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if err := exactDefaults(loaded); err != nil {
		return nil, err
	}
	dropNullDefaults(loaded)
	return loaded, installable(loaded)
}

// archive returns the bytes of the .tgz.
func archive(in Input) ([]byte, error) {
	if in.Chart != nil {
		return in.Chart, checkSize(int64(len(in.Chart)))
	}
	file, err := os.Open(in.ChartPath)
	if err != nil {
		return nil, fmt.Errorf("open chart archive: %w", err)
	}
	defer func() { _ = file.Close() }() // read only
	raw, err := io.ReadAll(io.LimitReader(file, maxArchive+1))
	if err != nil {
		return nil, fmt.Errorf("read chart archive: %w", err)
	}
	return raw, checkSize(int64(len(raw)))
}

func checkSize(size int64) error {
	if size > maxArchive {
		return fmt.Errorf("%w: it is larger than %d MiB", ErrArchive, maxArchive>>20)
	}
	return nil
}

// installable refuses what Helm's CLI refuses to install.
func installable(c *chart.Chart) error {
	if c.Metadata.Type == "library" {
		return fmt.Errorf("chart %s is a library chart: it cannot be installed", c.Name())
	}
	have := map[string]bool{}
	for _, dependency := range c.Dependencies() {
		have[dependency.Name()] = true
	}
	for _, wanted := range c.Metadata.Dependencies {
		if wanted != nil && !have[wanted.Name] {
			return fmt.Errorf("chart %s lacks its dependency %s: commit it under charts/", c.Name(), wanted.Name)
		}
	}
	return nil
}

// budget is what is left of the limits.
type budget struct {
	bytes            int64
	files, templates int
}

// spend reads an archive to its end, and the packaged charts inside it.
func (b *budget) spend(in io.Reader, nesting int) error {
	if nesting > maxNesting {
		return fmt.Errorf("more than %d packaged charts inside each other", maxNesting)
	}
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("not a gzipped tar archive: %w", err)
	}
	entries := tar.NewReader(&meter{in: unzipped, left: &b.bytes})
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read tar archive: %w", err)
		}
		if err := b.spendEntry(entry, entries, nesting); err != nil {
			return err
		}
	}
}

func (b *budget) spendEntry(entry *tar.Header, content io.Reader, nesting int) error {
	switch entry.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader, tar.TypeXHeader:
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("%.200q is neither a file nor a folder: links and devices are not allowed", entry.Name)
	}
	name := strings.ReplaceAll(entry.Name, `\`, "/")
	if len(name) > maxPath {
		return fmt.Errorf("%.200q… is a path of more than %d characters", name, maxPath)
	}
	if entry.Size > maxFile {
		return fmt.Errorf("%q is larger than %d MiB", name, maxFile>>20)
	}
	if b.files--; b.files < 0 {
		return fmt.Errorf("it holds more than %d files", maxFiles)
	}
	if strings.Contains(name, "/templates/") {
		if b.templates--; b.templates < 0 {
			return fmt.Errorf("it holds more than %d templates", maxTemplates)
		}
	}
	if path.Ext(name) == ".tgz" && strings.Contains(name, "charts/") {
		if err := b.spend(content, nesting+1); err != nil {
			return fmt.Errorf("packaged subchart %q: %w", name, err)
		}
	}
	return nil
}

// meter fails as soon as more is read than is left.
type meter struct {
	in   io.Reader
	left *int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.in.Read(p)
	if *m.left -= int64(n); *m.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
