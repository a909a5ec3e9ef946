package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-gitops/sluice/api/rendering"
	"github.com/sluice-gitops/sluice/render-controller/internal/helm"
	"github.com/sluice-gitops/sluice/render-controller/internal/kustomize"
	"github.com/sluice-gitops/sluice/render-controller/internal/sops"
	"github.com/sluice-gitops/sluice/render-controller/internal/tree"
	"github.com/sluice-gitops/sluice/render-controller/internal/worker"
)

// methodUnwrap asks the parent to decrypt a data key.
const methodUnwrap = "unwrap"

// child does jobs in a worker process, one after the other.
type child struct {
	// view is the tree of the latest job, at path: the next job often has the same.
	view *tree.View
	path string
}

// handle does a [Job]: it is a [worker.Handler].
func (c *child) handle(raw json.RawMessage, parent *worker.Parent) (result any, retire bool, err error) {
	var job Job
	if err := json.Unmarshal(raw, &job); err != nil {
		return nil, false, fmt.Errorf("read job: %w", err)
	}
	var end outcome
	switch {
	case job.Kustomize != nil:
		retire, err = c.buildKustomization(&job, parent, &end)
	case job.Helm != nil:
		err = renderRelease(job.Helm, parent, &end)
	default:
		err = errors.New("a job without work")
	}
	if err != nil {
		return nil, retire, err
	}
	return end, retire, nil
}

// open returns the tree at a path.
func (c *child) open(path string) (*tree.View, error) {
	if c.view != nil && c.path == path {
		return c.view, nil
	}
	view, err := tree.OpenView(path)
	if err != nil {
		return nil, fmt.Errorf("open the source artifact: %w", err)
	}
	if c.view != nil {
		_ = c.view.Close()
	}
	c.view, c.path = view, path
	return view, nil
}

func (c *child) buildKustomization(job *Job, parent *worker.Parent, end *outcome) (retire bool, err error) {
	source, err := c.open(job.Tree)
	if err != nil {
		return false, err
	}
	var decrypter kustomize.Decrypter
	var files *sops.Decrypter
	if job.Decryption != nil {
		files = sops.New(sops.Options{WarnOnMAC: job.Decryption.WarnOnMAC, Unwrap: func(wrapped sops.WrappedKey) ([]byte, error) {
			var key []byte
			err := parent.Call(methodUnwrap, wrapped, &key)
			return key, err
		}})
		decrypter = files
	}
	result, err := kustomize.Build(source, job.Kustomize, decrypter)
	if err != nil {
		end.Failure = kustomizeFailure(err)
		return true, nil // a failed build may have left its schema behind
	}
	for _, object := range result.Objects {
		if err := send(parent, rendering.Object{Tainted: object.Tainted, Object: object.Unstructured}); err != nil {
			return true, err
		}
	}
	end.Objects, end.Trace = len(result.Objects), result.Trace
	if files != nil {
		end.Warnings = files.Warnings()
	}
	return result.SchemaChanged, nil
}

func kustomizeFailure(err error) *Failure {
	var known *kustomize.Failure
	if errors.As(err, &known) && known.PathMissing {
		return &Failure{Reason: ReasonArtifact, Message: known.Error()}
	}
	return &Failure{Reason: ReasonBuild, Message: err.Error()}
}

func renderRelease(in *helm.Input, parent *worker.Parent, end *outcome) error {
	out, err := helm.Render(context.Background(), *in)
	if err != nil {
		end.Failure = &Failure{Reason: releaseReason(err), Message: err.Error()}
		return nil
	}
	if len(out.Unsupported) > 0 {
		end.Failure = &Failure{Reason: ReasonBuild, Message: "the chart has hooks, which are not run yet: " +
			strings.Join(out.Unsupported, ", ") + "; disable its hooks in the HelmRelease, or remove them from the chart"}
		return nil
	}
	for _, object := range out.Content.Objects {
		if err := send(parent, object); err != nil {
			return err
		}
	}
	if len(out.Lookups) > 0 {
		end.Warnings = append(end.Warnings, "templates look up "+strings.Join(out.Lookups, ", ")+
			" in the cluster and are told that there is none: name what they would find in spec.values")
	}
	end.Objects, end.Release, end.Identity, end.Version = len(out.Content.Objects), out.Content.Release, out.Identity, out.ChartVersion
	return nil
}

// releaseReason is Flux's reason for a release that could not be rendered.
func releaseReason(err error) string {
	switch {
	case errors.Is(err, helm.ErrArchive):
		return ReasonArtifact
	case errors.Is(err, helm.ErrVersion):
		return ReasonVersion
	default:
		return ReasonBuild
	}
}

func send(parent *worker.Parent, object rendering.Object) error {
	data, err := object.Object.MarshalJSON()
	if err != nil {
		return fmt.Errorf("write object: %w", err)
	}
	return parent.Part(part{Tainted: object.Tainted, Phase: object.Phase, Object: data})
}

// Serve does jobs on standard input and output until the parent closes them. It is what a worker process runs.
func Serve() error { return worker.Serve((&child{}).handle) }
