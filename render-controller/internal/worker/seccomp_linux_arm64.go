package worker

import "golang.org/x/sys/unix"

// What the kernel and its interface call them here.
const (
	architecture = unix.AUDIT_ARCH_AARCH64
	statAt       = unix.SYS_FSTATAT
)
