package process

import (
	"context"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-gitops/sluice/api/logkey"
)

// Warnings logs at debug what the API server warns of, but for one thing that is as it must be: the names of Flux's finalizers
// are older than the rule that a name has a path. It implements client-go's WarningHandlerWithContext.
type Warnings struct{}

// HandleWarningHeaderWithContext logs a warning; code 299 is for those that the API server gives.
func (Warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	if code != 299 || text == "" || strings.HasPrefix(text, "metadata.finalizers:") {
		return
	}
	ctrl.LoggerFrom(ctx).V(logkey.Debug).Info("the API server warns", logkey.Problem, text)
}
