// Package build compiles what the local stack runs: the controllers of this
// repository, and the control plane that e2e/controlplane pins. It says
// beforehand how long that will take, and meanwhile how far it is.
//
// It imports nothing but the standard library, so that the program that says how
// long it will take is itself compiled in seconds.
//
//   - [Prepare] is what the make targets call: survey, first line, fetch, compile.
//   - [ControlPlane] finds or builds the control plane alone; programs.go says how.
//   - estimate.go holds what was measured.
//   - target.go is one thing to build: what it lacks, its modules, its packages.
package build
