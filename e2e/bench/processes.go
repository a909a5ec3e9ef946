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
	// pages are resident in memory.
	pages int64
}

// usage is what a process and all that it started use.
type usage struct {
	// cpu never falls while the process lives: a child's goes to its parent's when it ends.
	cpu time.Duration
	// resident is in bytes. Pages that several processes share, as the program's own, count in each.
	resident int64
}

// parseStat reads the content of /proc/<pid>/stat. The name of the program stands in brackets and may hold anything.
func parseStat(text []byte) (process, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}, errors.New("no program name in brackets")
	}
	rest := bytes.Fields(text[end+1:])
	if len(rest) < 22 {
		return process{}, fmt.Errorf("%d fields after the program name; want 22 or more", len(rest))
	}
	var failed error
	number := func(field []byte) int64 {
		n, err := strconv.ParseInt(string(field), 10, 64)
		failed = errors.Join(failed, err)
		return n
	}
	ticks := number(rest[11]) + number(rest[12]) + number(rest[13]) + number(rest[14]) // utime, stime, cutime, cstime
	p := process{
		pid:    int(number(bytes.TrimSpace(text[:open]))),
		parent: int(number(rest[1])),
		cpu:    time.Duration(ticks) * (time.Second / ticksPerSecond),
		pages:  number(rest[21]),
	}
	return p, failed
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

// tree adds up what a process and all below it use.
func tree(table []process, root int, pageSize int64) usage {
	children := map[int][]process{}
	var sum usage
	for _, p := range table {
		if p.pid == root {
			sum = usage{cpu: p.cpu, resident: p.pages * pageSize}
		}
		children[p.parent] = append(children[p.parent], p)
	}
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		for _, child := range children[queue[0]] {
			sum.cpu += child.cpu
			sum.resident += child.pages * pageSize
			queue = append(queue, child.pid)
		}
	}
	return sum
}
