package process_test

import (
	"context"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/sluice-gitops/sluice/api/process"
)

func TestWarnings(t *testing.T) {
	var logged []string
	log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{Verbosity: 1})
	ctx := logr.NewContext(context.Background(), log)
	for _, text := range []string{
		`metadata.finalizers: "finalizers.fluxcd.io": prefer a domain-qualified finalizer name`, "", "v1beta1 is deprecated",
	} {
		process.Warnings{}.HandleWarningHeaderWithContext(ctx, 299, "-", text)
	}
	process.Warnings{}.HandleWarningHeaderWithContext(ctx, 199, "-", "of a proxy")
	if want := []string{`"level"=1 "msg"="the API server warns" "problem"="v1beta1 is deprecated"`}; !slices.Equal(logged, want) {
		t.Errorf("logged %q, want %q", logged, want)
	}
}
