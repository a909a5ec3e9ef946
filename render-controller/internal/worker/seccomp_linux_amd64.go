package worker

import "golang.org/x/sys/unix"

// What the kernel and its interface call them here.
const (
	architecture = unix.AUDIT_ARCH_X86_64
	statAt       = unix.SYS_NEWFSTATAT
)
