package helmchart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-gitops/sluice/api/redact"
	"github.com/sluice-gitops/sluice/source-controller/internal/helmrepo"
	"github.com/sluice-gitops/sluice/source-controller/internal/identity"
	"github.com/sluice-gitops/sluice/source-controller/internal/oci"
	"github.com/sluice-gitops/sluice/source-controller/internal/plan"
	"github.com/sluice-gitops/sluice/source-controller/internal/secret"
	"github.com/sluice-gitops/sluice/source-controller/internal/wire"
)

const (
	secretField = "spec.secretRef" //nolint:gosec // the name of a field
	certField   = "spec.certSecretRef"
)

// registry is a chart in a registry: where it is, and which version is wanted.
type registry struct {
	repo    *oci.Repository
	options oci.Options
	done    func()
	// address is the repository's, as messages show it; tag is that of the wanted version.
	address      string
	tag, version string
}

// ask finds out which version of a chart a registry is to give. A version that is named is not asked for.
func (r *Reconciler) ask(ctx context.Context, obj *sourcev1.HelmChart, o *observed) (problem *plan.Problem) {
	o.registry, problem = r.connect(ctx, o.repository, obj.Spec.Chart, r.memories.of(obj, o.repository))
	if problem != nil {
		return problem
	}
	ctx, cancel := context.WithTimeout(ctx, patience(o.repository))
	defer cancel()
	if problem := o.registry.choose(ctx, obj.Spec.Version); problem != nil {
		return problem
	}
	o.Wanted, problem = plan.ChartVersion(obj.Spec, obj.Generation, o.registry.version, "")
	return problem
}

// connect prepares to ask for a chart of a repository in a registry; nothing is sent yet.
func (r *Reconciler) connect(ctx context.Context, repository *sourcev1.HelmRepository, chart string, memory *oci.Memory) (*registry, *plan.Problem) {
	url := strings.TrimRight(repository.Spec.URL, "/") + "/" + chart
	g := &registry{done: func() {}, address: redact.URL(url)}
	name, err := oci.Parse(url, repository.Spec.Insecure)
	if err != nil {
		p := plan.FetchProblem(sourcev1.URLInvalidReason, "spec.url of HelmRepository %s/%s: %v", repository.Namespace, repository.Name, err)
		p.Terminal = true
		return g, p
	}
	o := oci.Options{
		Insecure: repository.Spec.Insecure, Memory: memory,
		Limits: oci.Limits{Layer: r.MaxChart, LayerOption: "--helm-chart-max-size"},
	}
	authorities, problem := helmrepo.TLSOf(ctx, r.Secrets, repository)
	if problem != nil {
		return g, problem
	}
	o.Peer = wire.Peer{
		Host: name.RegistryStr(), TLS: authorities, TLSField: certField,
		// As in Flux: whoever takes plain HTTP and names no authority takes any certificate.
		Unverified: repository.Spec.Insecure && authorities.IsZero(),
	}
	if problem := r.login(ctx, repository, name, &o); problem != nil {
		return g, problem
	}
	o.Transport, o.Elsewhere, g.done = r.Connections.Transports(o.Peer)
	if g.repo, err = oci.Open(url, o); err != nil {
		return g, g.problem(err)
	}
	g.options = o
	return g, nil
}

// login finds the credentials: those in spec.secretRef, a docker config or a username and a password; or, without it, those of
// the cloud that spec.provider names.
func (r *Reconciler) login(ctx context.Context, repository *sourcev1.HelmRepository, name oci.Name, o *oci.Options) *plan.Problem {
	provider := repository.Spec.Provider
	if ref := repository.Spec.SecretRef; ref != nil {
		data, problem := r.Secrets.Data(ctx, repository.Namespace, ref.Name, secretField)
		if problem != nil {
			return problem
		}
		if err := loginFrom(data, name, o); err != nil {
			return secret.Unusable(repository.Namespace, ref.Name, secretField, err)
		}
		return nil
	}
	if provider == "" || provider == sourcev1.GenericOCIProvider {
		return nil
	}
	login, err := r.Clouds.Registry(ctx, provider, identity.Subject{
		Kind: sourcev1.HelmRepositoryKind, Namespace: repository.Namespace, Name: repository.Name,
	}, repository.Spec.URL)
	var problem *plan.Problem
	switch {
	case errors.As(err, &problem):
		return problem
	case err != nil:
		return plan.FetchProblem(sourcev1.AuthenticationFailedReason, "spec.provider %s: %v", provider, err)
	}
	o.Auth, o.AuthField = oci.LoginOf(login), "the identity that spec.provider "+provider+" logs in with"
	return nil
}

func loginFrom(data map[string][]byte, name oci.Name, o *oci.Options) error {
	o.AuthField = secretField
	config, ok := data[corev1.DockerConfigJsonKey]
	if !ok {
		config, ok = data[corev1.DockerConfigKey]
	}
	if !ok {
		login, err := secret.ParseLogin(data)
		if err == nil && login.IsZero() {
			err = errors.New("it has neither .dockerconfigjson nor username and password")
		}
		o.Auth, o.AuthHint = oci.LoginOf(login), login.Padded.Hint(secretField)
		return err
	}
	var logins oci.Logins
	if err := logins.Add(config); err != nil {
		return err
	}
	if o.Auth = logins.For(name); o.Auth == nil {
		o.AuthHint = fmt.Sprintf("; the docker config of %s has none for %s", secretField, name.RegistryStr())
	}
	return nil
}

// choose finds the tag of the version that is asked for.
func (g *registry) choose(ctx context.Context, asked string) *plan.Problem {
	var exact bool
	if g.tag, exact = plan.ExactTag(asked); exact {
		g.version = asked
		return nil
	}
	tags, err := g.repo.Tags(ctx)
	if err != nil {
		return g.problem(err)
	}
	var problem *plan.Problem
	if g.tag, g.version, problem = plan.NewestChart(tags, asked); problem != nil {
		problem.Message = g.address + ": " + problem.Message
	}
	return problem
}

// pullRegistry downloads the chart that was chosen.
func (w *work) pullRegistry(ctx context.Context) (made, *plan.Problem) {
	g := w.seen.registry
	digest, err := g.repo.Resolve(ctx, g.tag)
	if err != nil {
		return w.has, g.problem(err)
	}
	verified, problem := w.r.signed(ctx, w.obj, g, digest)
	if problem != nil {
		return w.has, problem
	}
	file, problem := temporary(w.scratch, "chart.tgz")
	if problem != nil {
		return w.has, problem
	}
	defer func() { _ = file.Close() }() // it is removed
	if problem := g.pull(ctx, digest, file); problem != nil {
		return w.has, problem
	}
	w.has.source, w.has.verified = "", verified
	return w.has, w.keep(ctx, file, g.version)
}

// pull downloads the layer of a manifest that is a chart, and leaves the file at its start.
func (g *registry) pull(ctx context.Context, digest string, file *os.File) *plan.Problem {
	manifest, err := g.repo.Manifest(ctx, digest)
	if err != nil {
		return g.problem(err)
	}
	for _, layer := range manifest.Layers {
		if layer.MediaType != plan.ChartLayerMediaType {
			continue
		}
		body, err := g.repo.Layer(ctx, layer)
		if err != nil {
			return g.problem(err)
		}
		defer func() { _ = body.Close() }() // it was only read
		if _, err := io.Copy(file, body); err != nil {
			return g.problem(cause(err))
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return plan.StorageProblem(sourcev1.ReadOperationFailedReason, "the chart cannot be read again")
		}
		return nil
	}
	return plan.FetchProblem(plan.ReasonChartPullError,
		"%s: the tag %q is no Helm chart: none of its layers is of the type %s; push it with helm push", g.address, g.tag, plan.ChartLayerMediaType)
}

// problem is what the user reads about an error of the oci package, which says no more than it may.
func (g *registry) problem(err error) *plan.Problem {
	reason := plan.ReasonChartPullError
	if errors.Is(err, oci.ErrAuthentication) {
		reason = sourcev1.AuthenticationFailedReason
	}
	p := plan.FetchProblem(reason, "%s: %v", g.address, err)
	var limited *oci.RateLimited
	if errors.As(err, &limited) {
		p.After = limited.After
	}
	return p
}
