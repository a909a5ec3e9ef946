package oci_test

import (
	"context"
	"net"
)

// dialer reaches some addresses elsewhere.
func dialer(to map[string]string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if other, ok := to[address]; ok {
			address = other
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}
