package helm

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	_ "time/tzdata" // templates name time zones, and a worker reads no file of the system

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"

	"github.com/sluice-gitops/sluice/api/rendering"
)

const notesFile = "NOTES.txt"

// maxMessage bounds what a chart can put into an error with `fail` and `required`, in bytes.
const maxMessage = 4096

// Render renders a chart. Errors are for the user: they name the chart, and the template, value or object that is wrong.
// The context is looked at between steps; a template that runs on cannot be stopped. It is safe for concurrent use.
func Render(ctx context.Context, in Input) (out Output, err error) {
	defer func() {
		if r := recover(); r != nil { // Helm's code on input of strangers
			err = fmt.Errorf("render chart: Helm's engine failed unexpectedly (%T)", r)
		}
	}()
	if err := in.check(); err != nil {
		return Output{}, err
	}
	loaded, err := load(in)
	if err != nil {
		return Output{}, err
	}
	if in.Revision != "" {
		if loaded.Metadata.Version, err = trackedVersion(loaded.Metadata.Version, in.Revision); err != nil {
			return Output{}, err
		}
	}
	title := loaded.Name() + "-" + loaded.Metadata.Version
	r := renderer{in: in, chart: loaded}
	if err := r.template(ctx); err != nil {
		return Output{}, fmt.Errorf("render chart %s: %w", title, shortened{err})
	}
	content, err := r.content()
	if err != nil {
		return Output{}, fmt.Errorf("render chart %s: %w", title, shortened{err})
	}
	return Output{
		Content:      content,
		Identity:     in.identity(loaded.Metadata.Version),
		Unsupported:  unsupported(r.hooks, in.IgnoreHooks),
		Lookups:      r.lookups.kinds,
		ChartName:    loaded.Name(),
		ChartVersion: loaded.Metadata.Version,
		AppVersion:   loaded.AppVersion(),
	}, nil
}

func (in Input) check() error {
	if err := chartutil.ValidateReleaseName(in.ReleaseName); err != nil {
		return fmt.Errorf("release name %q: %w", in.ReleaseName, err)
	}
	switch in.CRDs {
	case "", CRDsSkip, CRDsCreate, CRDsCreateReplace:
	default:
		return fmt.Errorf("CRD policy %q: want %s, %s or %s", in.CRDs, CRDsSkip, CRDsCreate, CRDsCreateReplace)
	}
	switch {
	case in.Namespace == "" || in.SubjectName == "" || in.SubjectNamespace == "":
		return errors.New("a rendering needs the release's namespace and its HelmRelease")
	case in.Parameters.Revision < 1:
		return fmt.Errorf("release revision %d: want 1 or more", in.Parameters.Revision)
	default:
		return nil
	}
}

func (in Input) crds() string {
	if in.CRDs == "" {
		return CRDsCreate
	}
	return in.CRDs
}

// identity lists the inputs that make a release another one (see [Output.Identity]). The version is among them where the
// digest of the chart does not say it.
func (in Input) identity(version string) [][]byte {
	config := []byte("{}")
	if len(in.Values) > 0 {
		config, _ = json.Marshal(in.Values) // decoded from JSON; keys are sorted
	}
	digest := sha256.Sum256(config)
	identity := [][]byte{
		[]byte(in.ChartDigest), digest[:], []byte(in.ReleaseName), []byte(in.Namespace),
		[]byte(in.SubjectNamespace + "/" + in.SubjectName),
	}
	if in.Revision != "" {
		identity = append(identity, []byte(version))
	}
	return identity
}

// renderer is one rendering under way.
type renderer struct {
	in        Input
	chart     *chart.Chart
	notes     string
	hooks     []*release.Hook
	manifests []releaseutil.Manifest
	lookups   lookups
}

// template runs the templates, in the order of steps that Helm's install has.
func (r *renderer) template(ctx context.Context) error {
	values, err := copied(r.in.Values)
	if err != nil {
		return fmt.Errorf("values: %w", err)
	}
	if err := chartutil.ProcessDependenciesWithMerge(r.chart, values); err != nil {
		return fmt.Errorf("process dependencies: %w", err)
	}
	capabilities, err := r.in.Capabilities.forHelm()
	if err != nil {
		return err
	}
	if want := r.chart.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, capabilities.KubeVersion.Version) {
		return fmt.Errorf("it requires Kubernetes %s, the cluster is %s", want, capabilities.KubeVersion.Version)
	}
	scope, err := chartutil.ToRenderValuesWithSchemaValidation(r.chart, values, chartutil.ReleaseOptions{
		Name: r.in.ReleaseName, Namespace: r.in.Namespace, Revision: r.in.Parameters.Revision,
		IsInstall: r.in.Parameters.IsInstall, IsUpgrade: !r.in.Parameters.IsInstall,
	}, capabilities, true)
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), ": %!") // what follows is the value, printed with a wrong verb
		return fmt.Errorf("merge values: %s", text)
	}
	if table, ok := asTable(scope["Values"]); ok && !r.in.SkipSchema {
		if err := checkSchemas(r.chart, table); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	restore := withNewFunctions(r.chart)
	defer restore()
	files, err := engine.RenderWithClientProvider(r.chart, scope, &r.lookups) // names are not resolved either
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	return r.sort(ctx, files)
}

// sort parts the rendered files into notes, hooks and manifests.
func (r *renderer) sort(ctx context.Context, files map[string]string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	size := 0
	for name, text := range files {
		if size += len(text); size > rendering.MaxPlaintext {
			return fmt.Errorf("the templates' output is larger than %d MiB", rendering.MaxPlaintext>>20)
		}
		if strings.HasSuffix(name, notesFile) {
			if name == path.Join(r.chart.Name(), "templates", notesFile) {
				r.notes = text
			}
			delete(files, name)
		}
	}
	var err error
	r.hooks, r.manifests, err = sortDocuments(files)
	return err
}

// content is the release and its objects.
func (r *renderer) content() (rendering.Content, error) {
	text, objects, err := r.objects()
	if err != nil {
		return rendering.Content{}, err
	}
	config, err := copied(r.in.Values)
	if err != nil {
		return rendering.Content{}, fmt.Errorf("values: %w", err)
	}
	record, err := json.Marshal(&release.Release{
		Name: r.in.ReleaseName, Namespace: r.in.Namespace, Chart: r.chart, Config: config,
		Manifest: text, Hooks: r.hooks, Info: &release.Info{Notes: r.notes},
	})
	if err != nil {
		return rendering.Content{}, fmt.Errorf("encode release: %w", err)
	}
	return rendering.Content{Release: record, Objects: objects}, nil
}

// forHelm makes Helm's capabilities of ours.
func (c Capabilities) forHelm() (*chartutil.Capabilities, error) {
	capabilities := chartutil.DefaultCapabilities.Copy()
	if c.KubeVersion != "" {
		version, err := chartutil.ParseKubeVersion(c.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("the cluster's version %q: %w", c.KubeVersion, err)
		}
		capabilities.KubeVersion = *version
	}
	if len(c.APIVersions) > 0 {
		capabilities.APIVersions = slices.Clone(c.APIVersions)
	}
	return capabilities, nil
}

// unsupported lists the hooks that would have to run.
func unsupported(hooks []*release.Hook, ignored []string) []string {
	idle := append([]string{
		release.HookTest.String(), release.HookPreRollback.String(), release.HookPostRollback.String(),
	}, ignored...)
	var list []string
	for _, hook := range hooks {
		var events []string
		for _, event := range hook.Events {
			if !slices.Contains(idle, event.String()) {
				events = append(events, event.String())
			}
		}
		if len(events) > 0 {
			list = append(list, fmt.Sprintf("%s/%s: hook %s", hook.Kind, hook.Name, strings.Join(events, ",")))
		}
	}
	slices.Sort(list)
	return list
}

// shortened bounds an error's text. Template errors tell the way first and what is wrong last: both ends stay.
type shortened struct{ error }

func (s shortened) Error() string {
	text := s.error.Error()
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage/2], "") + " … " + strings.ToValidUTF8(text[len(text)-maxMessage/2:], "")
}

func (s shortened) Unwrap() error { return s.error }
