package chart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/chart"
)

// parallel is how many dependencies are downloaded at a time.
const parallel = 4

// download is a dependency from a repository; neither file nor err is set of one that is in the source.
type download struct {
	file io.ReadSeekCloser
	err  error
}

type downloads []download

func (d downloads) close() {
	for _, one := range d {
		if one.file != nil {
			_ = one.file.Close() // it was only read
		}
	}
}

// fetch downloads those dependencies that repositories have, some at a time. What comes of each is as if they had been downloaded
// one by one.
func (d *dependencies) fetch(ctx context.Context, wanted []*chart.Dependency) downloads {
	got := make(downloads, len(wanted))
	slots := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for i, want := range wanted {
		if local(want) {
			continue
		}
		if got[i].err = d.downloadable(want); got[i].err != nil {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			got[i].file, got[i].err = d.repositories.Chart(ctx, want.Repository, want.Name, want.Version)
		})
	}
	all.Wait()
	return got
}

// local reports whether a dependency is in the same source.
func local(want *chart.Dependency) bool {
	return want.Repository == "" || strings.HasPrefix(want.Repository, "file://")
}

// downloadable says why a dependency cannot be downloaded; nil if it can.
func (d *dependencies) downloadable(want *chart.Dependency) error {
	u, err := url.Parse(want.Repository)
	switch {
	case strings.HasPrefix(want.Repository, "@"), strings.HasPrefix(want.Repository, "alias:"):
		return errors.New("its repository is an alias, which is known where it was added and nowhere else; write its address into Chart.yaml, " +
			"or run `helm dependency update` and commit charts/")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "oci":
		return fmt.Errorf("its repository (%s) is none of file://, https://, http:// and oci://", shownRepository(want.Repository))
	case u.User != nil:
		return fmt.Errorf("the address of its repository, %s, holds a user; "+
			"create a HelmRepository with that address and the credentials in a Secret", shownRepository(want.Repository))
	case !validName.MatchString(want.Name):
		return errors.New("its name may have only letters, digits, '.', '_' and '-'")
	case d.repositories == nil:
		return fmt.Errorf("it is not in charts/, and %s is not asked", shownRepository(want.Repository))
	}
	return nil
}
