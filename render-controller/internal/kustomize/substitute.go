package kustomize

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluice-gitops/sluice/render-controller/internal/schema"
)

// substituteKey on an object, as a label or an annotation with the value "disabled", leaves its variables alone.
const substituteKey = "kustomize.toolkit.fluxcd.io/substitute"

var variableName = regexp.MustCompile(`^[_[:alpha:]][_[:alpha:][:digit:]]*$`)

// oneLine is the value of a variable: without line ends, as in Flux.
func oneLine(value string) string { return strings.NewReplacer("\r\n", "", "\n", "").Replace(value) }

// substituter replaces variables in built objects, with Flux's expressions. Nil replaces nothing.
//
// Flux replaces them in an object's YAML, and so loses what the YAML of a value says otherwise: "012" in a label becomes a number, and
// the API server refuses it. Here a variable in a field that holds a text by the kind's schema is that text, letter by letter; only
// where all of the field is a value in quotes are they YAML's, as Flux's documentation advises (${quote}${id}${quote}). In one that
// holds a number or a boolean it is one. What YAML reads as null leaves a field out, and everywhere else a variable is what YAML reads,
// both as in Flux.
type substituter struct {
	variables map[string]string
	always    bool
	// secret holds the values that no message may repeat.
	secret  []string
	schemas *schema.Set
}

func newSubstituter(in *Substitution, schemas *schema.Set) *substituter {
	if in == nil {
		return nil
	}
	s := &substituter{always: in.Always, variables: make(map[string]string, len(in.Variables)), schemas: schemas}
	for name, value := range in.Variables {
		s.variables[name] = oneLine(value)
		if slices.Contains(in.Secret, name) {
			s.secret = append(s.secret, value)
		}
	}
	return s
}

// apply replaces the variables in one object, in place, and says whether a value from a Secret may now be inside. A variable without
// a value and without a default is an error.
func (s *substituter) apply(object *unstructured.Unstructured) (secret bool, err error) {
	if s == nil || len(s.variables) == 0 && !s.always {
		return false, nil
	}
	if object.GetLabels()[substituteKey] == disabled || object.GetAnnotations()[substituteKey] == disabled {
		return false, nil
	}
	before, err := object.MarshalJSON()
	if err != nil {
		return false, failure("", "%s/%s cannot be written as JSON", object.GetKind(), object.GetName())
	}
	kind, name := object.GetKind(), object.GetName()
	if err := s.replace(object, before); err != nil {
		return false, s.explain(kind, name, err)
	}
	if len(s.secret) == 0 {
		return false, nil
	}
	after, err := object.MarshalJSON()
	return err != nil || !bytes.Equal(before, after), nil
}

func (s *substituter) replace(object *unstructured.Unstructured, before []byte) error {
	for _, name := range slices.Sorted(maps.Keys(s.variables)) {
		if !variableName.MatchString(name) {
			return fmt.Errorf("'%s' var name is invalid, must match '%s'", name, variableName)
		}
	}
	if !hasVariable(string(before)) {
		return nil
	}
	w := &substitution{eval: s.eval, prefix: unused(string(before), s.variables)}
	fields, err := w.walk(object.Object, s.schemas.Of(object.GetAPIVersion(), object.GetKind()), false)
	if err != nil {
		return err
	}
	root, _ := fields.(map[string]any)
	if !w.rest {
		object.Object = restore(root, w.values).(map[string]any)
		return nil
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		return fmt.Errorf("YAML: %w", err)
	}
	replaced, err := s.eval(string(text))
	if err != nil {
		return err
	}
	data, err := yaml.YAMLToJSON([]byte(replaced))
	if err != nil {
		return fmt.Errorf("YAMLToJSON: %w", err)
	}
	if err := object.UnmarshalJSON(data); err != nil {
		return fmt.Errorf("UnmarshalJSON: %w", err)
	}
	object.Object = restore(object.Object, w.values).(map[string]any)
	return nil
}

// unset is how a variable without a value is said; everything that is said after the values are in may repeat them.
const unset = "variable substitution failed: "

func (s *substituter) eval(text string) (string, error) {
	replaced, err := envsubst.Eval(text, func(name string) (string, bool) {
		value, known := s.variables[name]
		return value, known
	})
	if err != nil {
		return "", fmt.Errorf(unset+"%w", err)
	}
	return replaced, nil
}

func (s *substituter) explain(kind, name string, err error) error {
	message := err.Error()
	if len(s.secret) > 0 && !strings.HasPrefix(message, unset) && !strings.Contains(message, "var name is invalid") {
		message = "the object is not valid with the values of its variables; why is withheld because some come from a Secret"
	}
	return failure("", "post build failed for %s/%s: %s", kind, name, message)
}
