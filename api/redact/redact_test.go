package redact

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const canary = "c4n4ry-value"

func TestURL(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"nothing to hide":          {"https://example.com:8443/a/b", "https://example.com:8443/a/b"},
		"no URL":                   {"a: b@c?d#e", "a: b@c?d#e"},
		"user":                     {"https://token@example.com/a", "https://example.com/a"},
		"password":                 {"https://user:pw@example.com:1/a", "https://example.com:1/a"},
		"ssh":                      {"ssh://git@example.com/a", "ssh://example.com/a"},
		"query":                    {"https://x.blob.example.com/c?sv=1&sig=pw", "https://x.blob.example.com/c"},
		"fragment":                 {"https://example.com/a#token", "https://example.com/a"},
		"query without path":       {"https://example.com?sig=pw", "https://example.com"},
		"digest is no user":        {"oci://example.com/a@sha256:00", "oci://example.com/a@sha256:00"},
		"IPv6":                     {"http://[::1]:8080/a", "http://[::1]:8080/a"},
		"inside a text":            {`Get "https://u:pw@h/a?b=c": EOF`, `Get "https://h/a": EOF`},
		"several":                  {"a://u@b and c://d?e, f", "a://b and c://d f"},
		"at in a password":         {"https://u:p@w@h/a", "https://h/a"},
		"slash in a password":      {"https://u:p/w@h/a", "https://h/a"},
		"scheme in a password":     {"https://u:p://w@h/a", "https://h/a"},
		"one URL in another":       {"https://proxy/https://u:pw@h/a", "https://proxy/https://h/a"},
		"port and punctuation":     {"dial https://h:80: refused", "dial https://h:80: refused"},
		"cut before the host":      {"https://user:pa", "https://user"},
		"cut before the host, two": {"https://a:b:c/d", "https://a/d"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := URL(test.in); got != test.want {
				t.Errorf("URL(%q) = %q, want %q", test.in, got, test.want)
			}
		})
	}
}

func FuzzURL(f *testing.F) {
	f.Add("host", "/path", "user", "secret-pw", "q=1")
	f.Fuzz(func(t *testing.T, host, path, user, password, query string) {
		u := url.URL{Scheme: "https", Host: host, Path: path, User: url.UserPassword(user, password), RawQuery: url.QueryEscape(query)}
		text := u.String()
		if _, err := url.Parse(text); err != nil || len(password) < 8 || strings.Contains(host+path, password) {
			return
		}
		got := URL("Get \"" + text + "\": EOF")
		if escaped := strings.TrimPrefix(url.UserPassword("", password).String(), ":"); strings.Contains(got, escaped) && !strings.Contains(u.Host+u.EscapedPath(), escaped) {
			t.Errorf("%q still holds the password %q", got, escaped)
		}
		if again := URL(got); again != got {
			t.Errorf("redacting again changes %q to %q", got, again)
		}
	})
}

func TestError(t *testing.T) {
	_, parseError := url.Parse(strings.Join([]string{"https://user:", canary, "%zz@host/"}, ""))
	failed := &url.Error{Op: "Get", URL: "https://u:" + canary + "@h/a?sig=" + canary, Err: errors.New("EOF at https://h/?" + canary)}
	tests := map[string]struct {
		err  error
		want string
	}{
		"nil":       {nil, ""},
		"plain":     {errors.New("disk full"), "disk full"},
		"url.Error": {failed, "Get https://h/a: EOF at https://h/"},
		"wrapped":   {fmt.Errorf("fetch: %w", failed), "fetch: Get https://h/a: EOF at https://h/"},
		"joined":    {errors.Join(errors.New("one"), fmt.Errorf("two: %w", failed)), "one\ntwo: Get https://h/a: EOF at https://h/"},
		"two":       {fmt.Errorf("%w, %w", failed, context.Canceled), "Get https://h/a: EOF at https://h/, context canceled"},
		"parse":     {fmt.Errorf("spec.url: %w", parseError), "spec.url: parse URL: it is not valid"},
		"in a text": {errors.New("clone https://" + canary + "@h/a: denied"), "clone https://h/a: denied"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Error(test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestObject(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "s", field.ErrorList{
		field.Invalid(field.NewPath("data").Key("password"), canary, "must be "+canary),
		field.Invalid(field.NewPath("type"), canary, "is immutable"),
		field.Invalid(field.NewPath("type"), canary, "is immutable still"),
	})
	webhook := &apierrors.StatusError{ErrStatus: metav1.Status{
		Code: 422, Reason: canary, Message: "denied: " + canary,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: "it was: " + canary}}},
	}}
	tests := map[string]struct {
		err     error
		kind    string
		tainted bool
		want    string
	}{
		"nil":                 {nil, "Secret", false, ""},
		"secret, invalid":     {fmt.Errorf("apply: %w", invalid), "Secret", false, "rejected by the API server (Invalid), see data[password], type"},
		"secret, forbidden":   {apierrors.NewForbidden(secrets, "s", errors.New(canary)), "Secret", false, "(Forbidden)"},
		"secret, bad request": {apierrors.NewBadRequest("illegal base64: " + canary), "Secret", false, "(BadRequest)"},
		"secret, webhook":     {webhook, "Secret", false, "(Unprocessable Entity);"},
		"secret, client":      {errors.New("typed patch: " + canary), "Secret", false, "failed; details are withheld"},
		"secret, timeout":     {fmt.Errorf("%s: %w", canary, context.DeadlineExceeded), "Secret", false, "did not answer in time"},
		"secret, interrupted": {fmt.Errorf("%s: %w", canary, context.Canceled), "Secret", false, "interrupted"},
		"secret, no network":  {&net.OpError{Op: "dial", Err: errors.New(canary)}, "Secret", false, "cannot be reached"},
		"tainted config map":  {apierrors.NewBadRequest(canary), "ConfigMap", true, "(BadRequest)"},
		"tainted, no kind":    {&meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: canary}}, "ConfigMap", true, "no such kind"},
		"plain config map":    {apierrors.NewBadRequest("spec.x: not a number"), "ConfigMap", false, "spec.x: not a number"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := Object(test.err, test.kind, "ns", "name", test.tainted)
			if !strings.Contains(got, test.want) || strings.Contains(got, canary) {
				t.Errorf("got %q, want it to hold %q and not %q", got, test.want, canary)
			}
			if test.err != nil && !strings.HasPrefix(got, test.kind+"/ns/name: ") {
				t.Errorf("%q does not name the object", got)
			}
		})
	}
	long := Object(errors.New(strings.Repeat("x", 1<<20)), "Namespace", "", "name", false)
	if len(long) > 1100 || !strings.HasPrefix(long, "Namespace/name: x") {
		t.Errorf("%d bytes: %.50s", len(long), long)
	}
}

func TestScrubber(t *testing.T) {
	const value = "pä\"ss w?rd/&"
	quoted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{
		"exact":         value,
		"trimmed":       "  " + value + "\n",
		"query":         url.QueryEscape(value),
		"path":          url.PathEscape(value),
		"Go":            strconv.Quote(value),
		"JSON":          string(quoted),
		"base64":        base64.StdEncoding.EncodeToString([]byte(value)),
		"base64url":     base64.RawURLEncoding.EncodeToString([]byte(value)),
		"base64 inside": base64.StdEncoding.EncodeToString([]byte("user:" + value)),
		"inside, two":   base64.StdEncoding.EncodeToString([]byte("user1:" + value + "tail")),
		"inside, three": base64.StdEncoding.EncodeToString([]byte("user12:" + value + "tail2")),
	}
	s := NewScrubber([]byte(value+"\n"), []byte("short"), []byte("-----BEGIN-----\nline-of-a-key-0123456789\nend\n"), nil)
	for name, form := range forms {
		got := s.Scrub("before " + form + " after")
		if strings.Contains(got, form[2:len(form)-4]) || !strings.Contains(got, "***") ||
			!strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%s: %q becomes %q", name, form, got)
		}
	}
	if got := s.Scrub("bad: line-of-a-key-0123456789"); got != "bad: ***" {
		t.Errorf("one line of a value: %q", got)
	}
	if got := s.Scrub("a short text"); got != "a short text" {
		t.Errorf("a value below the limit is looked for: %q", got)
	}
	var none *Scrubber
	if got := none.Scrub(value); got != value {
		t.Errorf("nil scrubs: %q", got)
	}
	if got := NewScrubber([]byte("longer-secret"), []byte("longer-secret-still")).Scrub("longer-secret-still"); got != "***" {
		t.Errorf("of two values that begin alike the longer one goes first: %q", got)
	}
}

func TestScrubberOfTooMuchWithholds(t *testing.T) {
	for name, s := range map[string]*Scrubber{
		"values": NewScrubber(make([][]byte, maxValues+1)...),
		"bytes":  NewScrubber(make([]byte, maxValueBytes+1)),
	} {
		if got := s.Scrub("anything"); got != withheld {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzScrubber(f *testing.F) {
	f.Add([]byte("secret-value"), "the ", " leaks")
	f.Add([]byte("aaaaaaa"), "aaa", "aaa")
	f.Fuzz(func(t *testing.T, value []byte, before, after string) {
		if len(value) < minValue || len(value) > 1<<10 || strings.Contains(string(value), "*") {
			return
		}
		s := NewScrubber(value)
		if got := s.Scrub(before + string(value) + after); strings.Contains(got, string(value)) {
			t.Errorf("%q holds %q", got, value)
		}
		encoded := base64.StdEncoding.EncodeToString([]byte(before + string(value) + after))
		form := base64Inside(base64.RawStdEncoding, value, len(before)%3)
		if got := s.Scrub(encoded); strings.Contains(got, form) {
			t.Errorf("%q holds %q", got, form)
		}
	})
}
