// Package cosign asks whether an artifact in a registry was signed by somebody who is trusted, with cosign: by a key, or
// keyless, which is a certificate that Sigstore gave to whoever could prove who they are.
//
// Read in this order: cosign.go (the path of a verification), judge.go (who is trusted), registry.go (where signatures are),
// bundle.go and legacy.go (how cosign 3 and cosign 2 write them), doubt.go (why a signature is not enough), public.go (what
// the public Sigstore instance trusts).
//
// Rules:
//   - One signature by somebody who is trusted is enough, whatever else is attached to the artifact.
//   - A signature counts only for the digest that it signs. It is checked here, for both ways of writing one.
//   - With a key nothing else is asked for, as in Flux: no transparency log, no time.
//   - Without a key everything is asked for that the trusted root lists: an entry in a transparency log, a time from that log
//     or from a timestamp authority, an entry of the certificate in a certificate transparency log.
//   - All proofs come with the signature. No log is asked, so that nobody learns what runs here, and no outage of one matters.
//   - Nothing is read from the environment, a home folder or a keychain, and nothing is written.
//
// api/decisions/0026 says why this is not cosign's own library.
package cosign
