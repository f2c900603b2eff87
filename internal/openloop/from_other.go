//go:build !linux

package openloop

import "net"

// From makes a dialer of fresh connections from an address; nil: any.
func From(address net.Addr) *net.Dialer { return &net.Dialer{LocalAddr: address} }
