package git

import (
	"strings"
	"testing"
)

// TestS07ModuleAddress: a submodule's address is one of a server, and never a path, an option or a program.
func TestS07ModuleAddress(t *testing.T) {
	const base = "https://example.com/team/fleet.git"
	for name, tc := range map[string]struct {
		base, raw, want string
	}{
		"absolute":            {base, "https://other.example/lib.git", "https://other.example/lib.git"},
		"user":                {base, "https://ada@other.example/lib.git", "https://ada@other.example/lib.git"},
		"ssh":                 {base, "ssh://git@other.example:2222/lib.git", "ssh://git@other.example:2222/lib.git"},
		"scp":                 {base, "git@other.example:team/lib.git", "ssh://git@other.example/team/lib.git"},
		"scp, absolute":       {base, "git@other.example:/team/lib.git", "ssh://git@other.example/team/lib.git"},
		"sibling":             {base, "../lib.git", "https://example.com/team/lib.git"},
		"cousin":              {base, "../../other/lib.git", "https://example.com/other/lib.git"},
		"inside":              {base, "./lib.git", "https://example.com/team/fleet.git/lib.git"},
		"mixed":               {base, ".././../lib.git", "https://example.com/lib.git"},
		"slash at the end":    {base + "/", "../lib.git", "https://example.com/team/lib.git"},
		"relative to ssh":     {"ssh://git@example.com/team/fleet.git", "../lib.git", "ssh://git@example.com/team/lib.git"},
		"out of the host":     {base, "../../../lib.git", ""},
		"back and forth":      {base, "../x/../../../lib.git", ""},
		"nowhere":             {base, "../", ""},
		"empty":               {base, "", ""},
		"a path":              {base, "/etc/passwd", ""},
		"a relative path":     {base, "lib.git", ""},
		"file":                {base, "file:///etc", ""},
		"git":                 {base, "git://example.com/lib.git", ""},
		"program":             {base, "ext::sh -c touch% /tmp/x", ""},
		"program, no space":   {base, "ext::sh", ""},
		"option":              {base, "--upload-pack=touch", ""},
		"option as a host":    {base, "ssh://-oProxyCommand=x/lib", ""},
		"option as an scp":    {base, "-oProxyCommand=x:lib", ""},
		"option as a user":    {base, "-a@host:lib", ""},
		"password":            {base, "https://ada:secret@other.example/lib.git", ""},
		"query":               {base, "https://other.example/lib.git?x", ""},
		"fragment":            {base, "https://other.example/lib.git#x", ""},
		"no host":             {base, "https:///lib.git", ""},
		"line end":            {base, "https://other.example/lib\n.git", ""},
		"NUL":                 {base, "https://other.example/lib\x00", ""},
		"dots in an address":  {base, "https://other.example/a/../b", ""},
		"scheme in upper":     {base, "HTTPS://other.example/lib", "https://other.example/lib"},
		"long":                {base, "https://other.example/" + strings.Repeat("x", 5000), ""},
		"backslash as a path": {base, `..\..\lib`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := moduleAddress(tc.base, tc.raw)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\n\x00")) {
				t.Errorf("the message is %q", err)
			}
		})
	}
}

func TestS25SameHost(t *testing.T) {
	const base = "https://example.com/fleet.git"
	for other, want := range map[string]bool{
		"https://example.com/lib": true, "https://EXAMPLE.com:443/lib": true, "https://ada@example.com/lib": true,
		"https://example.com:8443/lib": false, "http://example.com/lib": false, "ssh://git@example.com/lib": false,
		"https://example.com.evil/lib": false, "https://evil/example.com": false, "https://sub.example.com/lib": false, "://": false,
	} {
		if sameHost(base, other) != want {
			t.Errorf("%s: credentials go there: %t, want %t", other, !want, want)
		}
	}
}

func FuzzModuleAddress(f *testing.F) {
	for _, raw := range []string{"../lib.git", "git@h:x", "ext::sh", "ssh://-o/x", "https://a:b@h/x", "./../.."} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := moduleAddress("https://example.com/team/fleet.git", raw)
		if err != nil {
			return
		}
		scheme, rest, _ := strings.Cut(got, "://")
		if scheme != "http" && scheme != "https" && scheme != "ssh" || rest == "" || strings.HasPrefix(rest, "-") || hasDotDot(rest) {
			t.Errorf("%q becomes %q", raw, got)
		}
	})
}
