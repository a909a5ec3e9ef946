package tree

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// newClient returns what artifacts are fetched with. Whoever may write the status of a source chooses the URL: it is asked
// for what it is, with no credentials, from inside the cluster. It leads to no other place (redirects), through no proxy, and
// never to the address at which a cloud hands its machines their keys.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: control}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 8,
			TLSHandshakeTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var errMachine = fmt.Errorf("%w: its URL leads to an address of the machine or its cloud, and artifacts are fetched from others", ErrInvalid)

// control refuses a connection by the address that the name has become.
func control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return errMachine
	}
	if ip := to.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || slices.Contains(metadataAddresses(), ip) {
		return errMachine
	}
	return nil
}

// metadataAddresses are where clouds serve machines their metadata, beside 169.254.169.254, which is link-local.
func metadataAddresses() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"),   // AWS
		netip.MustParseAddr("fd20:ce::254"),    // Google
		netip.MustParseAddr("168.63.129.16"),   // Azure
		netip.MustParseAddr("100.100.100.200"), // Alibaba
	}
}
