package render

import (
	"testing"

	"github.com/sluice-gitops/sluice/render-controller/internal/kustomize"
)

// BenchmarkRender is one small build: in a worker that is there, and in one that is started for it.
func BenchmarkRender(b *testing.B) {
	for name, path := range map[string]string{"warm": "", "cold": "none"} {
		b.Run(name, func(b *testing.B) {
			renderer := newRenderer(b, 0)
			job := &Job{Tree: writeTree(b, map[string]string{"a.yaml": settings}), Kustomize: &kustomize.Input{Path: path}}
			for b.Loop() {
				// A build that fails, for want of its path, costs its worker.
				if _, err := renderer.Render(b.Context(), job, nil); (err != nil) != (path != "") {
					b.Fatal(err)
				}
			}
		})
	}
}
