// Package upstream plays the places that sources come from beside Git: an OCI registry, a Helm repository and an S3-compatible
// store, on ports of this machine. Each speaks its protocol as documented, asks for a login where it is told to, and records
// what it was asked for. What is in them lives in memory and ends with them.
package upstream
