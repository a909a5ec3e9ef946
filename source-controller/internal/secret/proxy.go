package secret

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Proxy is what to reach a server through. The zero value is what the environment says. It prints as nothing.
type Proxy struct {
	// URL has the scheme http, https or socks5, and may hold a password.
	URL *url.URL
	// Padded says which parts of its login have white space around them.
	Padded Padding
}

// ParseProxy reads address, and username and password if the proxy wants them.
func ParseProxy(data map[string][]byte) (Proxy, error) {
	u, err := url.Parse(strings.TrimSpace(string(data["address"])))
	if err != nil || u.Host == "" {
		return Proxy{}, errors.New("address is not a URL such as http://proxy:3128")
	}
	if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return Proxy{}, fmt.Errorf("address has the scheme %q; http, https and socks5 are served", u.Scheme)
	}
	p := Proxy{URL: u}
	if len(data["username"]) > 0 {
		u.User = url.UserPassword(string(data["username"]), string(data["password"]))
		p.Padded = PaddingOf(data, "username", "password")
	}
	return p, nil
}

// IsZero is set when the environment decides.
func (p Proxy) IsZero() bool { return p.URL == nil }

// String keeps a password out of whatever prints it.
func (Proxy) String() string { return "proxy" }

// GoString keeps a password out of whatever prints it.
func (Proxy) GoString() string { return "proxy" }
