// Package sops reads what SOPS has encrypted: files on their way into a build, and values in built objects.
//
// [Decrypter] works in the child that renders. It has no key: a file's data key is unwrapped by the parent, where
// [Keyring] holds the age keys of one subject's own Secret. Nothing else is ever asked: no environment, no agent, no
// key service, no cloud.
//
// Rules, as Flux has them, with these differences: the MAC of a file is verified; documents of one file that carry the
// same sops block are one unit, and are decrypted on read, each file by itself; an input of a configMapGenerator is never
// decrypted. No error repeats a value.
package sops
