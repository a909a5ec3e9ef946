package v1alpha1

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

func TestRecordName(t *testing.T) {
	tests := map[string]struct {
		reason, kind, name, want string
	}{
		"short":     {"kind in lower case, then the name", "Kustomization", "web", "kustomization-web"},
		"dotted":    {"names may have dots", "HelmRelease", "web.front", "helmrelease-web.front"},
		"just fits": {"253 is the API server's limit", "HelmRelease", strings.Repeat("a", 241), "helmrelease-" + strings.Repeat("a", 241)},
		"too long":  {"cut, and ended with a hash of the whole", "HelmRelease", strings.Repeat("a", 242), "helmrelease-" + strings.Repeat("a", 230) + "-"},
		"cut at a dot": {"a part must not end with a dot or dash", "HelmRelease", strings.Repeat("a", 228) + ".-" + strings.Repeat("b", 20),
			"helmrelease-" + strings.Repeat("a", 228) + "-"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := RecordName(test.kind, test.name)
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("%s: got %q, want %q", test.reason, got, test.want)
			}
			if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 {
				t.Errorf("%q is no legal name: %v", got, problems)
			}
		})
	}
}

func TestRecordNamesNeverMeet(t *testing.T) {
	seen := map[string]string{}
	for _, kind := range []string{"Kustomization", "HelmRelease"} {
		for length := 200; length <= 253; length++ {
			for _, end := range []string{"a", "b"} {
				name := strings.Repeat("a", length-1) + end
				record := RecordName(kind, name)
				if other, ok := seen[record]; ok {
					t.Fatalf("%s of %s/%s and of %s", record, kind, name, other)
				}
				seen[record] = kind + "/" + name
			}
		}
	}
}

func FuzzRecordName(f *testing.F) {
	f.Add("web.front")
	f.Fuzz(func(t *testing.T, name string) {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			return
		}
		for _, kind := range []string{"Kustomization", "HelmRelease"} {
			if problems := validation.IsDNS1123Subdomain(RecordName(kind, name)); len(problems) > 0 {
				t.Errorf("record of %q: %v", name, problems)
			}
		}
	})
}
