package report_test

import (
	"context"
	"slices"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-gitops/sluice/api/process"
	"github.com/sluice-gitops/sluice/source-controller/internal/report"
)

// TestClaimWhileSomebodyElseWrites: that is no error of anybody's, and no finalizer is lost by it.
func TestClaimWhileSomebodyElseWrites(t *testing.T) {
	scheme, err := process.Scheme(sourcev1.AddToScheme)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason    string
		meanwhile func(ctx context.Context, c client.Client, obj *sourcev1.GitRepository) error
		found     bool
		want      []string
	}{
		"another finalizer": {
			"both stay", func(ctx context.Context, c client.Client, obj *sourcev1.GitRepository) error {
				obj.Finalizers = append(obj.Finalizers, "example.com/theirs")
				return c.Update(ctx, obj)
			}, true, []string{"example.com/theirs", sourcev1.SourceFinalizer},
		},
		"deleted": {
			"there is nothing to claim", func(ctx context.Context, c client.Client, obj *sourcev1.GitRepository) error {
				return c.Delete(ctx, obj)
			}, false, nil,
		},
		"being deleted": {
			"no finalizer may be added then", func(ctx context.Context, c client.Client, obj *sourcev1.GitRepository) error {
				obj.Finalizers = []string{"example.com/theirs"}
				if err := c.Update(ctx, obj); err != nil {
					return err
				}
				return c.Delete(ctx, obj)
			}, false, []string{"example.com/theirs"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "web"}}
			inner, writes := fake.NewClientBuilder().WithScheme(scheme).WithObjects(obj).Build(), 0
			c := interceptor.NewClient(inner, interceptor.Funcs{
				Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
					if writes++; writes == 1 {
						var other sourcev1.GitRepository
						if err := c.Get(ctx, client.ObjectKeyFromObject(o), &other); err != nil {
							return err
						}
						if err := tc.meanwhile(ctx, c, &other); err != nil {
							return err
						}
					}
					return c.Patch(ctx, o, p, opts...)
				},
			})
			key := client.ObjectKeyFromObject(obj)
			if err := inner.Get(t.Context(), key, obj); err != nil {
				t.Fatal(err)
			}
			r := &report.Reporter{Client: c, Live: inner}
			if found, err := r.Claim(t.Context(), obj); err != nil || found != tc.found {
				t.Errorf("%s: found %t, %v", tc.reason, found, err)
			}
			var after sourcev1.GitRepository
			if err := client.IgnoreNotFound(inner.Get(t.Context(), key, &after)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(after.Finalizers, tc.want) {
				t.Errorf("%s: finalizers %v, want %v", tc.reason, after.Finalizers, tc.want)
			}
		})
	}
}
