//go:build !linux

package worker

import "syscall"

// dieWithParent has no equivalent here: the child ends when its input does.
func dieWithParent() *syscall.SysProcAttr { return nil }

// keepFilesToOurselves has no equivalent here.
func keepFilesToOurselves() {}

// memoryOf is not known here: GOMEMLIMIT alone holds the child.
func memoryOf(int) (resident, private int64) { return 0, 0 }

// containerMemory is not known here.
func containerMemory() int64 { return 0 }
