// Package redact turns texts that may hold a secret into ones that may be shown, in this order of preference:
//
//   - [Object] for what the API server says about an object: never its words when the object may hold a secret
//   - [Error] for any other error, [URL] for an address or a text with addresses in it
//   - [Scrubber] as the second net, for the values that are known
//
// Everything here is safe for concurrent use.
package redact

import "strings"

// URL returns raw without the user, password, query and fragment of each URL in it. Raw is one URL or any text.
func URL(raw string) string {
	if !strings.Contains(raw, "://") {
		return raw
	}
	var out strings.Builder
	for raw != "" {
		end := strings.IndexFunc(raw, isDelimiter)
		if end < 0 {
			end = len(raw)
		}
		out.WriteString(cleanURL(raw[:end]))
		raw = raw[end:]
		next := strings.IndexFunc(raw, func(r rune) bool { return !isDelimiter(r) })
		if next < 0 {
			next = len(raw)
		}
		out.WriteString(raw[:next])
		raw = raw[next:]
	}
	return out.String()
}

// isDelimiter says whether a rune ends a URL inside a text.
func isDelimiter(r rune) bool {
	return r <= ' ' || strings.ContainsRune("\"'`<>", r)
}

// cleanURL cleans a word, which may be a URL, hold one, or hold one inside another.
func cleanURL(word string) string {
	scheme, rest, found := strings.Cut(word, "://")
	if !found {
		return word
	}
	rest = withoutUser(rest)
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest = rest[:i] + cleanURL(rest[i:])
	}
	return scheme + "://" + rest
}

// withoutUser removes what stands before the host. A password may hold, against the rules, any character that ends a
// host: what does not look like a port after a colon is taken for one.
func withoutUser(rest string) string {
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		return rest[at+1:]
	}
	colon := strings.IndexByte(authority, ':')
	if colon < 0 || strings.HasPrefix(authority, "[") || isPort(authority[colon+1:]) {
		return rest
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		return rest[at+1:]
	}
	return authority[:colon] + rest[len(authority):]
}

// isPort takes a port, and the punctuation that may follow a URL in a sentence.
func isPort(s string) bool {
	return strings.Trim(strings.TrimRight(s, ":,.;)"), "0123456789") == ""
}
