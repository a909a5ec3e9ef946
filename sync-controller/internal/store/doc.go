// Package store holds, on sync-controller's own volume, what a subject needs to be healed while render-controller is down
// and to go on where it was after a restart: the sealed content it was given, the fingerprints of what it applied, and
// how far its latest attempt is.
//
// Everything of a subject is in one folder, <kind>/<namespace>/<name>:
//
//	state.json          the subject's UID, the attempt, and which content was applied last
//	fingerprints.json   opaque to this package
//	<digest>.age        sealed contents, by their SHA-256; at most the last applied and the next one
//
// No plaintext is ever written. Files have mode 0600 and folders 0700; a file is replaced by rename after fsync, so that a
// crash leaves the old or the new one. A folder of a subject with another UID counts as empty.
package store
