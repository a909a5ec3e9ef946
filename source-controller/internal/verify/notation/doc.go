// Package notation asks whether an artifact in a registry was signed with notation by somebody whom a trust policy trusts.
//
// Rules:
//   - The policy and the certificates come from one Secret, as in Flux: every certificate is in every trust store that the
//     policy names, whether for authorities, signing authorities or timestamp authorities. There is no notation folder on disk.
//   - The first signature that is trusted is enough. One that the policy lets through without trust, because its level only
//     audits, counts if there is no better one; the artifact is let through then, and not called verified.
//   - Plugins are programs, and none is started: a signature that wants one is refused.
//   - Whether a certificate was revoked is asked where the certificate says, but only when it is by an authority in the Secret.
package notation
