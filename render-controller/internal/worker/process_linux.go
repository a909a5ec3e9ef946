package worker

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent has the kernel kill the child when the thread that started it ends, which is that of a starter, even while
// the child is stopped and cannot see that its input has ended.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// keepFilesToOurselves keeps files that this process was itself started with from its children. Those that it opened are
// closed there in any case. Kernels before 5.11 cannot do it.
func keepFilesToOurselves() {
	_ = unix.CloseRange(firstOther, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// firstOther comes after standard input, output and error.
const firstOther = 3

// memoryOf is how much memory a process holds, and how much of that it shares with nobody, as the program itself; 0 when
// that cannot be read.
func memoryOf(pid int) (resident, private int64) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 3 {
		return 0, 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, 0
	}
	shared, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return 0, 0
	}
	size := int64(os.Getpagesize())
	return pages * size, (pages - shared) * size
}

// containerMemory is how many bytes the processes of this container may hold together; 0 when nothing limits them. The
// files are those of the two versions of control groups.
func containerMemory() int64 {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64); err == nil && limit < unlimited {
			return limit
		}
	}
	return 0
}

// unlimited is less than what the older version says where there is no limit, and more than any machine has.
const unlimited = 1 << 50
