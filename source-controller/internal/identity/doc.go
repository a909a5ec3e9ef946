// Package identity logs sources in to AWS, Azure, GCP and GitHub without a password in a Secret: with what the cloud gives this
// controller, or with a ServiceAccount of the object's namespace. It is the only one that imports fluxcd/pkg/auth, whose
// providers speak to the clouds.
//
// Read issuer.go (what can be asked for), access.go (whose token it is), tokens.go (what is kept, and for how long),
// witness.go and explain.go (what a cloud answered, in words). api/decisions/0029-tokens-of-clouds.md says what is ours here, and why.
//
// Tokens are kept in memory alone, keyed by all that they depend on. No error has anything in it that a server sent.
package identity
