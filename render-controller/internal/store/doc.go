// Package store keeps sealed renderings on disk and serves them.
//
// A file is <kind>/<namespace>/<name>/<sha256 of the ciphertext>.age below the store's directory, and has that path on the
// server. It is complete or not there: it is written aside, synced and renamed. A subject's current file and the one before
// stay, so that a reader that has just read the previous record still finds its file. Nothing here can open a file.
package store
