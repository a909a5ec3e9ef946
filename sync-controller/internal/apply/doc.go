// Package apply brings objects into a cluster by server-side apply.
//
// Read in this order: [Applier.Prepare] makes a [Set] of what was rendered; [Applier.Apply] works through it in stages
// (stage.go): definitions (kinds, namespaces, cluster roles), classes, everything else. In each stage every changed object
// is dry-run first (check.go), concurrently; only when all of them pass is anything written (write.go). All
// failures are reported together ([Error]).
//
// What it costs, in requests per object:
//
//	0  known to be unchanged (Options.Unchanged)
//	2  found unchanged: dry-run, read
//	2  created: dry-run, apply
//	3  changed: dry-run, read, apply
//
// An object that has come to its end and is gone (Options.Done) costs the dry-run alone. [Progress] says what an apply waits
// for; [Applier.Installed] says beforehand whether all kinds are there. Marks of a version that its definition has lost are
// mended (mend.go).
//
// An object that is taken over from kubectl costs one more, once. A recreated one costs a dry-run, a delete and its
// reads more.
//
// [Fingerprint] and [ContentMAC] are what has to be remembered to know without a request that an object is unchanged.
package apply
