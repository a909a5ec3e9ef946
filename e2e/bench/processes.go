package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"
)

// ticksPerSecond is the unit of CPU times in /proc: 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// process is a line of the process table: the part of /proc/<pid>/stat that is used here (see proc_pid_stat(5)).
type process struct {
	pid, parent int
	// cpu is what the process used, with that of its children that ended and were waited for.
	cpu time.Duration
}

// usage is what a process and all that it started use.
type usage struct {
	// cpu never falls while the process lives: a child's goes to its parent's when it ends.
	cpu time.Duration
	// resident is in bytes. Pages that can be shared, which are those of the one program that they all run, count once.
	resident int64
}

// parseStat reads the content of /proc/<pid>/stat. The name of the program stands in brackets and may hold anything.
func parseStat(text []byte) (process, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}, errors.New("no program name in brackets")
	}
	numbers, err := parseNumbers(bytes.Fields(text[end+1:]), 1, 11, 12, 13, 14) // ppid, utime, stime, cutime, cstime
	if err != nil {
		return process{}, err
	}
	pid, err := parseNumbers(bytes.Fields(text[:open]), 0)
	if err != nil {
		return process{}, err
	}
	ticks := numbers[1] + numbers[2] + numbers[3] + numbers[4]
	return process{pid: int(pid[0]), parent: int(numbers[0]), cpu: time.Duration(ticks) * (time.Second / ticksPerSecond)}, nil
}

// parseStatm reads the content of /proc/<pid>/statm: how many pages are resident, and how many of them can be shared.
func parseStatm(text []byte) (resident, shared int64, err error) {
	numbers, err := parseNumbers(bytes.Fields(text), 1, 2)
	if err != nil {
		return 0, 0, err
	}
	return numbers[0], numbers[1], nil
}

// parseNumbers reads the fields at the given places.
func parseNumbers(words [][]byte, places ...int) ([]int64, error) {
	var numbers []int64
	for _, place := range places {
		if place >= len(words) {
			return nil, fmt.Errorf("%d fields; want more than %d", len(words), place)
		}
		n, err := strconv.ParseInt(string(words[place]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("field %d: %w", place, err)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// processTable reads all processes below proc, which is /proc. Processes that end meanwhile are left out.
func processTable(proc fs.FS) ([]process, error) {
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var table []process
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		text, err := fs.ReadFile(proc, entry.Name()+"/stat")
		if err != nil {
			continue // it ended
		}
		p, err := parseStat(text)
		if err != nil {
			return nil, fmt.Errorf("read /proc/%s/stat: %w", entry.Name(), err)
		}
		table = append(table, p)
	}
	return table, nil
}

// usageOf adds up what a process and all below it use. A process that is gone uses nothing.
func usageOf(proc fs.FS, table []process, root int, pageSize int64) usage {
	var sum usage
	var mostShared int64
	for _, p := range tree(table, root) {
		sum.cpu += p.cpu
		text, err := fs.ReadFile(proc, strconv.Itoa(p.pid)+"/statm")
		if err != nil {
			continue // it ended
		}
		resident, shared, err := parseStatm(text)
		if err != nil {
			continue // it is ending, and has no memory any more
		}
		sum.resident += (resident - shared) * pageSize
		mostShared = max(mostShared, shared*pageSize)
	}
	sum.resident += mostShared
	return sum
}

// tree is a process and all below it.
func tree(table []process, root int) []process {
	children := map[int][]process{}
	var found []process
	for _, p := range table {
		if p.pid == root {
			found = append(found, p)
		}
		children[p.parent] = append(children[p.parent], p)
	}
	for i := 0; i < len(found) && len(found) <= len(table); i++ { // a reused pid must not make a ring
		found = append(found, children[found[i].pid]...)
	}
	return found
}
