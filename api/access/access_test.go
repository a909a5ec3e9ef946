package access

import (
	"errors"
	"strings"
	"testing"
)

func TestReference(t *testing.T) {
	tests := map[string]struct {
		reason    string
		checker   Checker
		from      string
		namespace string
		name      string
		want      string
		denied    bool
		invalid   bool
	}{
		"own namespace":            {reason: "empty stands for the own one", from: "a", name: "x", want: "a"},
		"own namespace, named":     {reason: "naming the own one is no crossing", checker: Checker{NoCrossNamespace: true}, from: "a", namespace: "a", name: "x", want: "a"},
		"other namespace":          {reason: "allowed by default, as in Flux", from: "a", namespace: "b", name: "x", want: "b"},
		"other namespace, denied":  {reason: "the rule is on", checker: Checker{NoCrossNamespace: true}, from: "a", namespace: "b", name: "x", denied: true},
		"dotted name":              {reason: "names are subdomains", from: "a", name: "x.y-z.0", want: "a"},
		"empty name":               {reason: "nothing is referred to", from: "a", invalid: true},
		"path in name":             {reason: "a name becomes part of a path", from: "a", name: "../x", invalid: true},
		"upper case":               {reason: "no legal name", from: "a", name: "X", invalid: true},
		"wildcard":                 {reason: "'*' means every object to some callers", from: "a", name: "*", invalid: true},
		"line break":               {reason: "a name becomes part of a log line", from: "a", name: "x\ny", invalid: true},
		"path in namespace":        {reason: "a namespace becomes part of a path", from: "a", namespace: "b/c", name: "x", invalid: true},
		"dotted namespace":         {reason: "namespaces are labels", from: "a", namespace: "b.c", name: "x", invalid: true},
		"no namespace at all":      {reason: "nobody knows where to look", name: "x", invalid: true},
		"invalid before forbidden": {reason: "the message is about what is wrong", checker: Checker{NoCrossNamespace: true}, from: "a", namespace: "B", name: "x", invalid: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := test.checker.Reference(test.from, "GitRepository", test.namespace, test.name)
			var denied *DeniedError
			if errors.As(err, &denied) != test.denied || (err != nil) != (test.denied || test.invalid) || got != test.want {
				t.Errorf("%s: got %q, %v", test.reason, got, err)
			}
			if err != nil && (!strings.Contains(err.Error(), "GitRepository") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("the message %q does not name the reference in one line", err)
			}
		})
	}
}

func TestServiceAccount(t *testing.T) {
	tests := map[string]struct {
		reason      string
		checker     Checker
		namespace   string
		name        string
		want        string
		impersonate bool
		invalid     bool
	}{
		"none":              {reason: "neither the object nor the default names one", namespace: "a"},
		"named":             {reason: "the object names one", namespace: "a", name: "app", want: "system:serviceaccount:a:app", impersonate: true},
		"default":           {reason: "the default fills in", checker: Checker{DefaultServiceAccount: "tenant"}, namespace: "a", want: "system:serviceaccount:a:tenant", impersonate: true},
		"named, default":    {reason: "the object's own comes first", checker: Checker{DefaultServiceAccount: "tenant"}, namespace: "a", name: "app", want: "system:serviceaccount:a:app", impersonate: true},
		"blank":             {reason: "there, but nobody: never the controller's own rights", namespace: "a", name: " ", invalid: true},
		"blank default":     {reason: "a mistake in a flag must not open the door", checker: Checker{DefaultServiceAccount: " "}, namespace: "a", invalid: true},
		"a group":           {reason: "the name becomes part of a user name", namespace: "a", name: "system:masters", invalid: true},
		"another namespace": {reason: "the name must not choose the namespace", namespace: "a", name: "b:app", invalid: true},
		"header injection":  {reason: "the name becomes part of a header", namespace: "a", name: "app\r\nImpersonate-Group: system:masters", invalid: true},
		"no namespace":      {reason: "the user would be of no namespace", name: "app", invalid: true},
		"wrong namespace":   {reason: "the namespace becomes part of a user name", namespace: "a:b", name: "app", invalid: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, impersonate, err := test.checker.ServiceAccount(test.namespace, test.name)
			if got != test.want || impersonate != test.impersonate || (err != nil) != test.invalid {
				t.Errorf("%s: got %q, %v, %v", test.reason, got, impersonate, err)
			}
		})
	}
}

func FuzzServiceAccount(f *testing.F) {
	f.Add("a", "app", "default")
	f.Add("a", "", " ")
	f.Fuzz(func(t *testing.T, namespace, name, fallback string) {
		got, impersonate, err := Checker{DefaultServiceAccount: fallback}.ServiceAccount(namespace, name)
		switch {
		case err != nil && (got != "" || impersonate):
			t.Errorf("an identity %q is returned with the error", got)
		case err == nil && impersonate != (name != "" || fallback != ""):
			t.Errorf("namespace %q, name %q, default %q: impersonate is %v", namespace, name, fallback, impersonate)
		case err == nil && impersonate && len(strings.Split(got, ":")) != 4:
			t.Errorf("identity %q has more than its four parts", got)
		}
	})
}
