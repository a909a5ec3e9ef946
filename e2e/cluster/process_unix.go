//go:build unix

package cluster

import "syscall"

// signalGroup signals a process and all that it started. Errors mean that the
// group is gone, which is what the callers want.
func signalGroup(pid int, sig syscall.Signal) {
	_ = syscall.Kill(-pid, sig)
}
