package chart

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"

	"helm.sh/helm/v3/pkg/chartutil"
)

// Write packages the chart. dir is a folder for a temporary file. Helm's packager puts the time, and subcharts in no
// order, into its archive; here both are fixed, so that the same chart has the same digest.
func (c *Chart) Write(w io.Writer, dir string) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the chart cannot be packaged")
		}
	}()
	file, err := chartutil.Save(c.chart, dir)
	if err != nil {
		return fmt.Errorf("package chart: %w", unnamed(err))
	}
	entries, err := readArchive(file)
	if err != nil {
		return err
	}
	sort.SliceStable(entries, func(i, j int) bool { return entries[i].name < entries[j].name })
	zw := gzip.NewWriter(w)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e.content))}
		if err := tw.WriteHeader(header); err != nil {
			return fmt.Errorf("package %s: %w", e.name, err)
		}
		if _, err := tw.Write(e.content); err != nil {
			return fmt.Errorf("package %s: %w", e.name, err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		return fmt.Errorf("package chart: %w", err)
	}
	return nil
}

// unnamed is an error without the name of the temporary file it is about, which is another one each time.
func unnamed(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}

type archived struct {
	name    string
	content []byte
}

func readArchive(file string) (entries []archived, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read packaged chart: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read packaged chart: %w", err)
	}
	for tr := tar.NewReader(zr); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read packaged chart: %w", err)
		}
		content, err := io.ReadAll(io.LimitReader(tr, maxBytes))
		if err != nil {
			return nil, fmt.Errorf("read packaged chart: %w", err)
		}
		entries = append(entries, archived{header.Name, content})
	}
}
