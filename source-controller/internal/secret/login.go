package secret

import (
	"errors"
	"strings"
	"unicode"
)

// Login is how to log in: a user name and a password, or a token. It prints as nothing.
type Login struct {
	Username, Password, Bearer string
	// Padded says which of them have white space around them.
	Padded Padding
}

// ParseLogin reads username and password, of which the one may be in an address and the other not needed, or bearerToken. The
// zero Login is what a Secret without any of them holds.
//
// White space around a token means nothing in a request, and is left out. A user name and a password are sent as they are:
// it may be meant, but if they are refused, that is said.
func ParseLogin(data map[string][]byte) (Login, error) {
	l := Login{
		Username: string(data["username"]), Password: string(data["password"]),
		Bearer: strings.TrimSpace(string(data["bearerToken"])),
		Padded: PaddingOf(data, "username", "password"),
	}
	if strings.ContainsFunc(l.Bearer, unicode.IsControl) {
		return Login{}, errors.New("bearerToken has a line end or another control character inside; it is one line")
	}
	return l, nil
}

// IsZero is set when there is nothing to log in with.
func (l Login) IsZero() bool { return l.Username == "" && l.Password == "" && l.Bearer == "" }

// String keeps a login out of whatever prints it.
func (Login) String() string { return "login" }

// GoString keeps a login out of whatever prints it.
func (Login) GoString() string { return "login" }
