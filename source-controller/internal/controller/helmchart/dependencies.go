package helmchart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
)

// repositories downloads what charts depend on. A repository is reached as the HelmRepository of the chart's namespace that has its
// address says, with its credentials; one that none has, as anybody may.
type repositories struct {
	*work

	mu      sync.Mutex
	files   int
	indexes map[string]*fetchedIndex
}

// fetchedIndex is the index of a repository that no HelmRepository has.
type fetchedIndex struct {
	once  sync.Once
	file  *os.File
	index *helmrepo.Index
	err   error
}

func (w *work) repositories() *repositories {
	return &repositories{work: w, indexes: map[string]*fetchedIndex{}}
}

// Chart implements [chart.Repositories].
func (d *repositories) Chart(ctx context.Context, address, name, version string) (io.ReadSeekCloser, error) {
	repository, err := d.owner(ctx, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience(repository))
	defer cancel()
	file, err := d.temporary()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(address, "oci://") {
		err = d.fromRegistry(ctx, repository, name, version, file)
	} else {
		err = d.fromIndex(ctx, repository, name, version, file)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = file.Close() // it is removed
		return nil, err
	}
	return file, nil
}

// owner is the HelmRepository that has an address, of several the first by name; one that says nothing but the address if there is
// none.
func (d *repositories) owner(ctx context.Context, address string) (*sourcev1.HelmRepository, error) {
	normal := plan.NormalURL(address)
	var list sourcev1.HelmRepositoryList
	err := d.r.Reporter.Client.List(ctx, &list, client.InNamespace(d.obj.Namespace), client.MatchingFields{byURL: normal})
	if err != nil {
		return nil, fmt.Errorf("the HelmRepositories of the namespace cannot be read: %s", plan.Unreadable(err))
	}
	if len(list.Items) > 0 {
		first := slices.MinFunc(list.Items, func(a, b sourcev1.HelmRepository) int { return strings.Compare(a.Name, b.Name) })
		return &first, nil
	}
	anybody := &sourcev1.HelmRepository{Spec: sourcev1.HelmRepositorySpec{URL: normal}}
	anybody.Namespace = d.obj.Namespace
	return anybody, nil
}

func (d *repositories) fromRegistry(ctx context.Context, repository *sourcev1.HelmRepository, name, version string, file *os.File) error {
	g, problem := d.r.connect(ctx, repository, name, nil)
	defer g.done()
	if problem != nil {
		return problem
	}
	if problem := g.choose(ctx, version); problem != nil {
		return problem
	}
	digest, err := g.repo.Resolve(ctx, g.tag)
	if err != nil {
		return g.problem(err)
	}
	if problem := g.pull(ctx, digest, file); problem != nil {
		return problem
	}
	return nil
}

func (d *repositories) fromIndex(ctx context.Context, repository *sourcev1.HelmRepository, name, version string, file *os.File) error {
	access, problem := helmrepo.AccessOf(ctx, d.r.Secrets, repository)
	if problem != nil {
		return problem
	}
	found, err := d.find(ctx, repository, access, name, version)
	if err != nil {
		return err
	}
	if _, err := d.r.Repositories.Chart(ctx, access, found, file); err != nil {
		return helmrepo.Problem(repository.Spec.URL, plan.ReasonDependencyBuildError, err)
	}
	return nil
}

// find looks a chart up in the index that a HelmRepository has stored, or in one that is fetched for this chart alone.
func (d *repositories) find(
	ctx context.Context, repository *sourcev1.HelmRepository, access helmrepo.Access, name, version string,
) (*helmrepo.Version, error) {
	if stored := repository.Status.Artifact; stored != nil {
		found, problem := d.r.find(stored, true, name, version)
		if problem != nil {
			return nil, problem
		}
		return found, nil
	}
	d.mu.Lock()
	fetched := d.indexes[repository.Spec.URL]
	if fetched == nil {
		fetched = &fetchedIndex{}
		d.indexes[repository.Spec.URL] = fetched
	}
	d.mu.Unlock()
	fetched.once.Do(func() { fetched.err = d.fetch(ctx, access, fetched) })
	if fetched.err != nil {
		return nil, fetched.err
	}
	return fetched.index.Find(fetched.file, name, version)
}

func (d *repositories) fetch(ctx context.Context, access helmrepo.Access, into *fetchedIndex) (err error) {
	if into.file, err = d.temporary(); err != nil {
		return err
	}
	if _, err := d.r.Repositories.Index(ctx, access, "", into.file); err != nil {
		return helmrepo.Problem(access.URL, plan.ReasonDependencyBuildError, err)
	}
	if into.index, err = helmrepo.Read(into.file); err != nil {
		return helmrepo.Problem(access.URL, plan.ReasonDependencyBuildError, err)
	}
	return nil
}

func (d *repositories) temporary() (*os.File, error) {
	d.mu.Lock()
	d.files++
	name := fmt.Sprintf(".dependency-%d", d.files)
	d.mu.Unlock()
	file, problem := temporary(d.scratch, name)
	if problem != nil {
		return nil, errors.New(problem.Message)
	}
	return file, nil
}
