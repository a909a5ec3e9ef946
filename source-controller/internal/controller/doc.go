// Package controller wires source-controller together: it opens what is on disk, connects what reads and writes, and
// registers a controller per kind, each in a folder of its own.
package controller
