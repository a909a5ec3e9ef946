//go:build linux && (amd64 || arm64)

package worker

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// rule allows a system call: always, or when an argument is one that it may have.
type rule struct {
	call uint32
	when []condition
}

// condition holds when the masked bits of an argument, which is counted from 0, have the value.
type condition struct{ argument, mask, value uint32 }

const (
	allow = unix.SECCOMP_RET_ALLOW
	// unknown is the answer to a call that is not on the list: as from a kernel without it, so that a runtime falls back
	// on an older call as it does there.
	unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	// forbidden is the answer to a call that is on the list, with other arguments.
	forbidden = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)

	// Where the kernel puts the call's number, the architecture and the arguments.
	numberAt, architectureAt, argumentsAt, argumentSize = 0, 4, 16, 8
)

// allowed are the system calls of Go's runtime, of reading files, and of the C library under the race detector. The
// commonest come first. What is missing is missing on purpose: sockets, programs, processes, signals to others, writes by
// path, other ways to open a file, other processes' memory, namespaces, mounts, keys, BPF, io_uring, prctl.
func allowed(pid int) []rule {
	const writes = unix.O_ACCMODE | unix.O_CREAT | unix.O_TRUNC
	var commands []condition
	for _, command := range []uint32{unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL} {
		commands = append(commands, condition{argument: 1, mask: ^uint32(0), value: command})
	}
	return append(always(
		unix.SYS_FUTEX, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_MADVISE,
		unix.SYS_EPOLL_PWAIT, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_GETPID, unix.SYS_CLOSE, unix.SYS_FSTAT,
		unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MREMAP, unix.SYS_MINCORE, unix.SYS_BRK,
		unix.SYS_GETDENTS64, unix.SYS_PREAD64, unix.SYS_LSEEK, unix.SYS_READLINKAT, statAt, unix.SYS_STATX,
		unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_GETCWD,
		unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_GETTID, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
		unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_GETTIMEOFDAY,
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
		unix.SYS_GETRANDOM, unix.SYS_UNAME, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	),
		rule{unix.SYS_OPENAT, []condition{{argument: 2, mask: writes, value: unix.O_RDONLY}}},
		rule{unix.SYS_CLONE, []condition{{argument: 0, mask: unix.CLONE_THREAD, value: unix.CLONE_THREAD}}},
		rule{unix.SYS_TGKILL, []condition{{argument: 0, mask: ^uint32(0), value: uint32(pid)}}},
		rule{unix.SYS_FCNTL, commands},
	)
}

func always(calls ...uint32) []rule {
	rules := make([]rule, len(calls))
	for i, call := range calls {
		rules[i].call = call
	}
	return rules
}

// assemble makes the program that the kernel runs before each system call.
func assemble(architecture uint32, rules []rule) ([]bpf.RawInstruction, error) {
	load := func(offset uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: offset, Size: 4} }
	program := []bpf.Instruction{
		load(architectureAt),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		bpf.RetConstant{Val: unknown},
		load(numberAt),
	}
	for _, r := range rules {
		answer := []bpf.Instruction{bpf.RetConstant{Val: allow}}
		if len(r.when) > 0 {
			answer = nil
		}
		for _, c := range r.when {
			answer = append(answer,
				load(argumentsAt+c.argument*argumentSize), // its lower half: both architectures are little-endian
				bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: c.mask},
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: c.value, SkipFalse: 1},
				bpf.RetConstant{Val: allow})
		}
		if len(r.when) > 0 {
			answer = append(answer, bpf.RetConstant{Val: forbidden})
		}
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: r.call, SkipFalse: uint8(len(answer))})
		program = append(program, answer...)
	}
	return bpf.Assemble(append(program, bpf.RetConstant{Val: unknown}))
}

// filterCalls has the kernel refuse, in all threads of this process, every system call but those that are allowed.
func filterCalls() error {
	raw, err := assemble(architecture, allowed(os.Getpid()))
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, instruction := range raw {
		filter[i] = unix.SockFilter{Code: instruction.Op, Jt: instruction.Jt, Jf: instruction.Jf, K: instruction.K}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program))) //nolint:gosec // as the kernel wants it
	if errno != 0 {
		return errno
	}
	if thread != 0 {
		return errors.New("a thread has another filter")
	}
	return nil
}
