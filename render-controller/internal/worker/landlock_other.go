//go:build !linux

package worker

import "errors"

// landlockTo has no equivalent here.
func landlockTo(string) (int, error) { return 0, errors.ErrUnsupported }
