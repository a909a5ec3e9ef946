package git

// elsewhere are the credentials for another host than the one that they are for: what says how to get there, and nothing that
// says who we are.
func (c Credentials) elsewhere() Credentials {
	return Credentials{TLS: c.TLS.WithoutCertificate(), Proxy: c.Proxy}
}
