package story

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

func TestSpoil(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		want   []byte
	}{
		"cut":  {"half of it is there", []byte("ab")},
		"flip": {"one byte is another", []byte{'a', 'b', 'c' ^ 0xff, 'd'}},
		"lose": {"it is gone", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "artifact")
			if err := os.WriteFile(file, []byte("abcd"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := spoil(file, name); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if !bytes.Equal(got, tc.want) || os.IsNotExist(err) != (tc.want == nil) {
				t.Errorf("%s: got %q, %v", tc.reason, got, err)
			}
		})
	}
	if err := spoil(filepath.Join(t.TempDir(), "none"), "cut"); err == nil {
		t.Error("a file that is not there was damaged")
	}
}

func TestPoll(t *testing.T) {
	for name, tc := range map[string]struct {
		reason  string
		limit   time.Duration
		answers []string
		want    bool
		asked   int
	}{
		"at once":  {"nothing is waited for", time.Hour, []string{"yes"}, true, 1},
		"later":    {"it is asked again", time.Hour, []string{"no", "no", "yes"}, true, 3},
		"too late": {"the time is over, and it was asked once at least", 0, []string{"no", "yes"}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			q := &question{limit: tc.limit, pattern: regexp.MustCompile("yes"), ask: func(context.Context) string {
				asked++
				return tc.answers[asked-1]
			}}
			if got := q.poll(t.Context(), q.pattern.MatchString); got != tc.want || asked != tc.asked {
				t.Errorf("%s: %t after %d questions, want %t after %d", tc.reason, got, asked, tc.want, tc.asked)
			}
		})
	}
}

func TestLine(t *testing.T) {
	got := line([]string{"kubectl", "-n", "demo", "patch", "--patch", `{"a":"it's"}`, ""})
	if want := `kubectl -n demo patch --patch '{"a":"it'\''s"}' ''`; got != want {
		t.Errorf("got %s, want %s: what is shown can be pasted into a shell", got, want)
	}
}

func TestFormsOfASecret(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	forms := formsOf(secret)
	for _, around := range []string{"", "x", "xy"} {
		text := []byte(base64.StdEncoding.EncodeToString([]byte(around + secret + around)))
		found := false
		for _, form := range forms {
			found = found || bytes.Contains(text, form)
		}
		if !found {
			t.Errorf("not found in base64 after %d bytes", len(around))
		}
	}
}
