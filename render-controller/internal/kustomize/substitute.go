package kustomize

import (
	"context"
	"slices"
	"strings"

	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/resource"
)

// substituter replaces variables in built objects. Nil replaces nothing.
type substituter struct {
	// subject is a Kustomization that has nothing but its variables, for Flux's library.
	subject unstructured.Unstructured
	always  bool
	// secret holds the values that no message may repeat.
	secret []string
}

func newSubstituter(in *Substitution) *substituter {
	if in == nil {
		return nil
	}
	variables := make(map[string]any, len(in.Variables))
	s := &substituter{always: in.Always}
	for name, value := range in.Variables {
		variables[name] = value
		if slices.Contains(in.Secret, name) {
			s.secret = append(s.secret, value)
		}
	}
	s.subject.Object = map[string]any{"spec": map[string]any{"postBuild": map[string]any{"substitute": variables}}}
	return s
}

// apply replaces the variables in one object, and says whether a value from a Secret may now be inside. A variable without
// a value and without a default is an error.
func (s *substituter) apply(res *resource.Resource) (secret bool, err error) {
	if s == nil {
		return false, nil
	}
	before, err := res.AsYAML()
	if err != nil {
		return false, failure("", "%s/%s cannot be written as YAML", res.GetKind(), res.GetName())
	}
	kind, name := res.GetKind(), res.GetName()
	replaced, err := fluxkustomize.SubstituteVariables(context.Background(), nil, s.subject, res,
		fluxkustomize.SubstituteWithDryRun(true), fluxkustomize.SubstituteWithStrict(true), fluxkustomize.SubstituteWithAlways(s.always))
	if err != nil {
		return false, s.explain(kind, name, err)
	}
	if replaced == nil || len(s.secret) == 0 {
		return false, nil
	}
	after, err := replaced.AsYAML()
	return err != nil || !slices.Equal(before, after), nil
}

// unset is how the library names a variable that has no value; everything it says after the values are in may repeat them.
const unset = "variable substitution failed: "

func (s *substituter) explain(kind, name string, err error) error {
	message := strings.TrimPrefix(err.Error(), "envsubst error: ")
	if len(s.secret) > 0 && !strings.HasPrefix(message, unset) && !strings.Contains(message, "var name is invalid") {
		message = "the object is not valid with the values of its variables; why is withheld because some come from a Secret"
	}
	return failure("", "post build failed for %s/%s: %s", kind, name, message)
}
