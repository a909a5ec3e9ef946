// Package process is what the processes of all four controllers have in common: the flags that everybody has ([Settings]), the
// manager, the connection to NATS and the outbox, and how a process begins and ends ([Main]). A flag means the same in
// each of them, and whoever has read one main.go knows the others.
package process
