package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// place is what a child may try to reach.
type place struct {
	Folder   string `json:"folder"`   // which it may read
	Canary   string `json:"canary"`   // a file beside it
	Link     string `json:"link"`     // a link in Folder to Canary
	TCP      int    `json:"tcp"`      // a port somebody listens on
	Abstract string `json:"abstract"` // an abstract socket, as well
	Parent   int    `json:"parent"`   // the process of the tests
}

// attempt is something that a rendering has no use for, or all use for.
type attempt struct {
	// landlock is the ABI since which Landlock refuses it; 0 for never.
	landlock int
	// seccomp refuses it.
	seccomp bool
	do      func(place) error
}

// attempts are all possible for a process that has taken nothing from itself. Each can be made again and again.
func attempts() map[string]attempt {
	return map[string]attempt{
		"read in the folder":      {0, false, func(p place) error { return read(filepath.Join(p.Folder, "a.yaml")) }},
		"list the folder":         {0, false, func(p place) error { _, err := os.ReadDir(p.Folder); return err }},
		"signal itself":           {0, false, func(place) error { return unix.Tgkill(os.Getpid(), unix.Gettid(), 0) }},
		"read a file outside":     {1, false, func(p place) error { return read(p.Canary) }},
		"read through a link":     {1, false, func(p place) error { return read(p.Link) }},
		"read upwards":            {1, false, func(p place) error { return read(p.Folder + "/../" + filepath.Base(p.Canary)) }},
		"list a folder outside":   {1, false, func(place) error { _, err := os.ReadDir("/"); return err }},
		"read its own state":      {1, false, func(place) error { return read("/proc/self/status") }},
		"read the parent's state": {1, false, func(p place) error { return read(fmt.Sprintf("/proc/%d/environ", p.Parent)) }},
		"create a file":           {1, true, func(p place) error { return open(filepath.Join(p.Folder, "new"), os.O_WRONLY|os.O_CREATE) }},
		"create a temporary file": {1, true, func(place) error {
			file, err := os.CreateTemp("", "sluice-worker-test-*")
			if err != nil {
				return err
			}
			return errors.Join(file.Close(), os.Remove(file.Name()))
		}},
		"write to a file":      {1, true, func(p place) error { return open(p.Canary, os.O_WRONLY) }},
		"append to a file":     {1, true, func(p place) error { return open(p.Canary, os.O_RDWR|os.O_APPEND) }},
		"truncate a file":      {3, true, func(p place) error { return os.Truncate(p.Canary, int64(len(canary))) }},
		"rename a file":        {1, true, func(p place) error { return os.Rename(p.Canary, p.Canary) }},
		"make a folder":        {1, true, func(p place) error { return os.Mkdir(filepath.Join(p.Folder, "d"+unique()), 0o700) }},
		"make a link":          {1, true, func(p place) error { return os.Symlink("a.yaml", filepath.Join(p.Folder, "l"+unique())) }},
		"change a file's mode": {0, true, func(p place) error { return os.Chmod(p.Canary, 0o600) }},
		"start a program":      {1, true, func(place) error { return startProgram() }},
		"start a process": {0, true, func(place) error {
			err := startProgram()
			if errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
				return nil // it was the new process that could not become a program
			}
			return err
		}},
		"connect by TCP": {4, true, func(p place) error {
			return withSocket(unix.AF_INET, unix.SOCK_STREAM, func(s int) error { return unix.Connect(s, loopback(p.TCP)) })
		}},
		"listen by TCP": {4, true, func(place) error {
			return withSocket(unix.AF_INET, unix.SOCK_STREAM, func(s int) error { return unix.Bind(s, loopback(0)) })
		}},
		"open a datagram socket": {0, true, func(place) error {
			return withSocket(unix.AF_INET, unix.SOCK_DGRAM, func(int) error { return nil })
		}},
		"connect to an abstract socket": {6, true, func(p place) error {
			return withSocket(unix.AF_UNIX, unix.SOCK_STREAM, func(s int) error {
				return unix.Connect(s, &unix.SockaddrUnix{Name: p.Abstract})
			})
		}},
		"signal the parent":             {6, true, func(p place) error { return unix.Kill(p.Parent, 0) }},
		"signal a thread of the parent": {6, true, func(p place) error { return unix.Tgkill(p.Parent, p.Parent, 0) }},
	}
}

func read(name string) error {
	_, err := os.ReadFile(name)
	return err
}

func open(name string, flags int) error {
	file, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

func startProgram() error {
	process, err := os.StartProcess(os.Args[0], []string{os.Args[0], "nothing"}, &os.ProcAttr{})
	if err == nil {
		_, err = process.Wait()
	}
	return err
}

func unique() string { return fmt.Sprintf("-%d-%d", os.Getpid(), unix.Gettid()) }

func loopback(port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

func withSocket(family, kind int, do func(socket int) error) error {
	socket, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	return do(socket)
}

const (
	succeeded = "succeeded"
	refused   = "refused"
)

// outcomeOf tells a refusal from a failure, which no attempt is meant to have.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return succeeded
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		return refused
	}
	return err.Error()
}

// threads run functions on threads that were there before the child was confined.
var threads []chan func()

func startThreads() {
	for range 3 {
		work, ready := make(chan func()), make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(ready)
			for f := range work {
				f()
			}
		}()
		<-ready
		threads = append(threads, work)
	}
}

// onAllThreads returns what a new thread and the old ones got, once when it is the same.
func onAllThreads(do func() string) string {
	result := do()
	for i, thread := range threads {
		got := make(chan string)
		thread <- func() { got <- do() }
		if other := <-got; other != result {
			return fmt.Sprintf("%s, but thread %d: %s", result, i, other)
		}
	}
	return result
}

const canary = "canary"

// somewhere is a place with somebody at home.
func somewhere(t *testing.T) place {
	t.Helper()
	dir := t.TempDir()
	p := place{Folder: filepath.Join(dir, "trees"), Canary: filepath.Join(dir, canary), Parent: os.Getpid()}
	p.Link = filepath.Join(p.Folder, "link")
	p.Abstract = fmt.Sprintf("@sluice-worker-test-%d-%s", os.Getpid(), filepath.Base(filepath.Dir(dir)))
	for _, err := range []error{
		os.Mkdir(p.Folder, 0o700),
		os.WriteFile(filepath.Join(p.Folder, "a.yaml"), []byte("a: b\n"), 0o600),
		os.WriteFile(p.Canary, []byte(canary), 0o600),
		os.Symlink(p.Canary, p.Link),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "unix": p.Abstract} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		if tcp, ok := listener.Addr().(*net.TCPAddr); ok {
			p.TCP = tcp.Port
		}
	}
	return p
}

// confinedPool has one child at a time, and what its first said of itself.
func confinedPool(t *testing.T, part, folder string) (*Pool, *atomic.Pointer[Confinement]) {
	t.Helper()
	said := &atomic.Pointer[Confinement]{}
	return newPool(t, Options{
		Command: []string{os.Args[0], "worker", part}, Size: 1, Folder: folder,
		Confined: func(c Confinement) {
			if !said.CompareAndSwap(nil, &c) {
				t.Error("it was told twice")
			}
		},
	}), said
}

// TestConfinement makes every attempt in children that take everything, a half or nothing from themselves, and holds them
// to exactly what they said they had.
func TestConfinement(t *testing.T) {
	for _, part := range []string{"all", "landlock", "seccomp", "nothing"} {
		t.Run(part, func(t *testing.T) {
			place := somewhere(t)
			pool, said := confinedPool(t, part, place.Folder)
			runJob(t, pool, job{Do: "retire"}) // the next is another child's, and said is still the first's
			inForce := *said.Load()
			checkAgainstKernel(t, part, inForce)
			for name, attempt := range attempts() {
				want := succeeded
				if attempt.landlock > 0 && attempt.landlock <= inForce.Landlock || attempt.seccomp && inForce.Seccomp {
					want = refused
				}
				var got string
				if err := json.Unmarshal([]byte(runJob(t, pool, job{Do: "attempt", Text: name, Place: place})), &got); err != nil || got != want {
					t.Errorf("%s with %q in force: %q, want %q (%v)", name, inForce, got, want, err)
				}
			}
			if !inForce.Seccomp {
				return
			}
			if got := runJob(t, pool, job{Do: "calls"}); got != "null" {
				t.Errorf("the kernel knows the system calls %s", got)
			}
		})
	}
}

// BenchmarkStart is a child's start, job and end, with what it takes from itself and without.
func BenchmarkStart(b *testing.B) {
	for _, part := range []string{"all", "nothing"} {
		b.Run(part, func(b *testing.B) {
			pool := NewPool(Options{Command: []string{os.Args[0], "worker", part}, Size: 1, Folder: b.TempDir()})
			defer pool.Close()
			for b.Loop() {
				if _, err := pool.Run(b.Context(), job{Do: "retire"}, &peer{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// checkAgainstKernel asks the kernel itself what a child can have.
func checkAgainstKernel(t *testing.T, part string, inForce Confinement) {
	t.Helper()
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || part == "seccomp" || part == "nothing" {
		version = 0
	}
	want := min(int(version), newestABI)
	if inForce.Landlock != want && (want < scopesABI || inForce.Landlock != scopesABI-1) {
		t.Errorf("landlock ABI %d is in force, the kernel has %d: %v", inForce.Landlock, version, inForce.Missing)
	}
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	available := errno == 0 && (part == "all" || part == "seccomp")
	if inForce.Seccomp != available {
		t.Errorf("seccomp in force: %v, and the kernel has it: %v: %v", inForce.Seccomp, available, inForce.Missing)
	}
}

// unknownCalls returns the system calls of a list that the kernel seems to know. None is on the list of those allowed.
func unknownCalls() (known []string) {
	for name, call := range map[string]uintptr{
		"execve": unix.SYS_EXECVE, "execveat": unix.SYS_EXECVEAT, "clone3": unix.SYS_CLONE3, "openat2": unix.SYS_OPENAT2,
		"socket": unix.SYS_SOCKET, "socketpair": unix.SYS_SOCKETPAIR, "connect": unix.SYS_CONNECT, "bind": unix.SYS_BIND,
		"sendto": unix.SYS_SENDTO, "sendmsg": unix.SYS_SENDMSG, "recvmsg": unix.SYS_RECVMSG, "listen": unix.SYS_LISTEN,
		"ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV,
		"pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "kcmp": unix.SYS_KCMP, "prlimit64": unix.SYS_PRLIMIT64,
		"mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "pivot_root": unix.SYS_PIVOT_ROOT, "chroot": unix.SYS_CHROOT,
		"open_tree": unix.SYS_OPEN_TREE, "move_mount": unix.SYS_MOVE_MOUNT, "fsopen": unix.SYS_FSOPEN,
		"unshare": unix.SYS_UNSHARE, "setns": unix.SYS_SETNS, "setuid": unix.SYS_SETUID, "capset": unix.SYS_CAPSET,
		"keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY, "request_key": unix.SYS_REQUEST_KEY, "bpf": unix.SYS_BPF,
		"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER, "userfaultfd": unix.SYS_USERFAULTFD,
		"perf_event_open": unix.SYS_PERF_EVENT_OPEN, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "prctl": unix.SYS_PRCTL,
		"memfd_create": unix.SYS_MEMFD_CREATE, "kill": unix.SYS_KILL, "rt_sigqueueinfo": unix.SYS_RT_SIGQUEUEINFO,
		"pidfd_send_signal": unix.SYS_PIDFD_SEND_SIGNAL, "unlinkat": unix.SYS_UNLINKAT, "linkat": unix.SYS_LINKAT,
		"fchownat": unix.SYS_FCHOWNAT, "setxattr": unix.SYS_SETXATTR, "init_module": unix.SYS_INIT_MODULE,
		"getpid of another ABI": unix.SYS_GETPID | 0x40000000,
	} {
		if _, _, errno := unix.RawSyscall6(call, 0, 0, 0, 0, 0, 0); errno != unix.ENOSYS {
			known = append(known, name)
		}
	}
	return known
}

func TestFilterKnowsItsArchitecture(t *testing.T) {
	raw, err := assemble(architecture, allowed(1))
	if err != nil {
		t.Fatal(err)
	}
	program, all := bpf.Disassemble(raw)
	if !all {
		t.Fatal("the program cannot be read back")
	}
	machine, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ call, architecture, want uint32 }{
		"a call that is allowed":           {unix.SYS_READ, architecture, allow},
		"the same number of another world": {unix.SYS_READ, unix.AUDIT_ARCH_I386, unknown},
		"a call that is not":               {unix.SYS_PTRACE, architecture, unknown},
		"a call of the future":             {100_000, architecture, unknown},
	} {
		data := make([]byte, argumentsAt+6*argumentSize) // the machine reads big-endian
		for i := range 4 {
			data[numberAt+i], data[architectureAt+i] = byte(c.call>>(24-8*i)), byte(c.architecture>>(24-8*i))
		}
		if got, err := machine.Run(data); err != nil || uint32(got) != c.want {
			t.Errorf("%s: %#x, %v, want %#x", name, got, err, c.want)
		}
	}
}

func TestConfineNeedsItsFolder(t *testing.T) {
	pool, _ := confinedPool(t, "all", filepath.Join(t.TempDir(), "none"))
	var lost *LostError
	if _, err := pool.Run(t.Context(), job{Do: "pid"}, &peer{}); !errors.As(err, &lost) {
		t.Errorf("error %v, want that the child has left", err)
	}
}

func TestConfinementString(t *testing.T) {
	for want, c := range map[string]Confinement{
		"landlock ABI 7, seccomp":                                    {Landlock: 7, Seccomp: true},
		"seccomp, not available: landlock: function not implemented": {Seccomp: true, Missing: []string{"landlock: function not implemented"}},
		"not available: landlock: a; seccomp: b":                     {Missing: []string{"landlock: a", "seccomp: b"}},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
