package kustomize

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestProtectedIntegersInOneLine: a file may be one line, with anchors and letters of any width before its integers.
func TestProtectedIntegersInOneLine(t *testing.T) {
	for name, tc := range map[string]struct{ reason, text, want string }{
		"several":    {"each is replaced", `{"é": 9007199254740993, "b": [9007199254740995, 1, 9223372036854775807]}` + "\n", `{"é": "P9007199254740993", "b": ["P9007199254740995", 1, "P9223372036854775807"]}` + "\n"},
		"an anchor":  {"it stands before the value", "a: &x 9007199254740993\nb: *x\n", "a: &x \"P9007199254740993\"\nb: *x\n"},
		"documents":  {"lines are those of the stream", "a: 9007199254740993\n---\nb: 9007199254740993\n", "a: \"P9007199254740993\"\n---\nb: \"P9007199254740993\"\n"},
		"what fits":  {"float64 holds it", "a: 9007199254740992\n", "a: 9007199254740992\n"},
		"in a text":  {"a text is left alone", "a: '9007199254740993'\nb: |\n  9007199254740993\n", "a: '9007199254740993'\nb: |\n  9007199254740993\n"},
		"no newline": {"the last line has no end", "a: 9007199254740993", `a: "P9007199254740993"`},
	} {
		t.Run(name, func(t *testing.T) {
			var n integers
			if got := strings.ReplaceAll(string(n.protect([]byte(tc.text))), protection, "P"); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

// BenchmarkProtectOneLine is about a file of one line: twice the integers must cost twice the time.
func BenchmarkProtectOneLine(b *testing.B) {
	for _, count := range []int{1000, 2000, 4000} {
		values := make([]int64, count)
		for i := range values {
			values[i] = 9007199254740993 + int64(i)*2
		}
		text, err := json.Marshal(values)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strings.Repeat("I", count/1000), func(b *testing.B) {
			for b.Loop() {
				var n integers
				n.protect(text)
			}
		})
	}
}
