package worker

import (
	"github.com/landlock-lsm/go-landlock/landlock"
	abi "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

const (
	// newestABI is that of the strictest rules below.
	newestABI = 11
	// scopesABI is the first whose rules are for signals and abstract sockets. Kernels without the erratum's fix refuse
	// signals inside of the process too: the library leaves the scopes out there, which is the ABI before.
	scopesABI     = 6
	fixedScopeBit = 1 << 1
)

// landlockTo leaves this process, in all its threads, the files below folder, to read; none when folder is empty. It
// returns which ABI's rules are in force, and the reason when there are none.
func landlockTo(folder string) (int, error) {
	version, err := abi.LandlockGetABIVersion()
	if err != nil {
		return 0, err
	}
	version = min(version, newestABI)
	if version >= scopesABI {
		if fixed, err := abi.LandlockGetErrata(); err != nil || fixed&fixedScopeBit == 0 {
			version = scopesABI - 1
		}
	}
	var rules []landlock.Rule
	if folder != "" {
		rules = append(rules, landlock.PathAccess(abi.AccessFSReadFile|abi.AccessFSReadDir, folder))
	}
	if err := landlock.V11.BestEffort().Restrict(rules...); err != nil {
		return 0, err
	}
	return version, nil
}
