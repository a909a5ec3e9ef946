// Package worker runs jobs in child processes of this binary, so that a job that crashes, hangs or eats memory takes
// nothing else with it, and one that breaks out of its library finds nothing.
//
// The parent has a [Pool], the child runs [Serve]. They speak in frames over the child's standard input and output (see
// frame.go). A child has no keys, no network, no environment and no other open file: what it needs comes with the job, and
// what it must not hold it asks the parent for ([Parent.Call]). Before its first job it confines itself, with Landlock
// (landlock_linux.go) and seccomp (seccomp_linux.go) where the kernel has them, and says what is in force ([Confinement]).
// It dies with its parent, at its deadline, when it is over its memory, and when it holds most of too much that all hold
// together (memory.go).
//
// What is in a job and in its result is the caller's; nothing here logs or keeps it. A child's standard error goes
// nowhere, since it may repeat what the child was given.
package worker
