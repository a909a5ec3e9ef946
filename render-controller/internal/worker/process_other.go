//go:build !linux

package worker

import "syscall"

// dieWithParent has no equivalent here: the child ends when its input does.
func dieWithParent() *syscall.SysProcAttr { return nil }

// keepFilesToOurselves has no equivalent here.
func keepFilesToOurselves() {}

// residentBytes is not known here: GOMEMLIMIT alone holds the child.
func residentBytes(int) int64 { return 0 }
