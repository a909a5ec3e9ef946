package redact

import (
	"errors"
	"net/url"
	"strings"
)

// maxDepth bounds how deep and wide a tree of errors is walked.
const maxDepth = 32

// Error returns the text of err with every URL in it redacted (see [URL]); empty for nil. Of a URL that cannot be parsed
// nothing is shown, for its parse error may hold any part of it.
func Error(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, failed := range urlErrors(err, maxDepth) {
		text = strings.ReplaceAll(text, failed.Error(), urlError(failed))
	}
	return URL(text)
}

func urlError(failed *url.Error) string {
	if failed.Op == "parse" {
		return "parse URL: it is not valid"
	}
	return failed.Op + " " + URL(failed.URL) + ": " + Error(failed.Err)
}

// urlErrors finds the outermost url.Errors in a tree.
func urlErrors(err error, depth int) []*url.Error {
	if err == nil || depth == 0 {
		return nil
	}
	if failed, ok := err.(*url.Error); ok { //nolint:errorlint // the tree is walked here
		return []*url.Error{failed}
	}
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return urlErrors(errors.Unwrap(err), depth-1)
	}
	var found []*url.Error
	for _, one := range many.Unwrap() {
		found = append(found, urlErrors(one, depth-1)...)
		if len(found) > maxDepth {
			break
		}
	}
	return found
}
