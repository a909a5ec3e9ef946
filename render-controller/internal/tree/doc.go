// Package tree keeps source artifacts unpacked on disk, once per digest for all subjects that use them.
//
// [Cache.Acquire] fetches an artifact by URL, compares its digest before a byte of it is unpacked, unpacks it, and pins it
// until it is released. What nobody has pinned is dropped, least recently used first, when the cache is over its size.
// [Cache.AcquireFile] does the same for an artifact that is used as the file it is: a Helm chart.
//
// A tree is a [Manifest], which says what is at which path, and the contents that it names by their digest. Trees share
// contents: the next commit writes what it changed. [OpenView] reads a tree, in another process too. No path of an
// archive is ever a path on disk, so none can lead outside.
//
// Everything is bounded (see [Limits]). Only regular files and directories come out of an archive; an entry whose name
// leads outside refuses the whole artifact. Nothing is unpacked over what is there.
package tree
