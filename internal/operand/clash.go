package operand

import (
	"fmt"
	"net/netip"
	"strings"
)

// Listener is a flag and the HOST:PORT that it has a program listen on; "": on nothing.
type Listener struct{ Flag, Address string }

// Clash is an error if one of the listeners cannot be bound because of another one. A port 0 is any free one.
func Clash(listeners ...Listener) error {
	for i, b := range listeners {
		for _, a := range listeners[:i] {
			if meet(a.Address, b.Address) {
				return fmt.Errorf("%s and %s have the same address and port: give each a port of its own", a.Flag, b.Flag)
			}
		}
	}
	return nil
}

func meet(a, b string) bool {
	hostA, portA, errA := SplitHostPort(a)
	hostB, portB, errB := SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == 0 {
		return false
	}
	return covers(hostA, hostB) || covers(hostB, hostA)
}

// covers is true if listening on host a takes b's place. Names are not looked up: they are the same, or a is every address.
func covers(a, b string) bool {
	if a == "" || strings.EqualFold(a, b) {
		return true
	}
	x, err := netip.ParseAddr(a)
	if err != nil {
		return false
	}
	y, err := netip.ParseAddr(b)
	switch {
	case x == netip.IPv6Unspecified(): // of both families, as Go binds it
		return true
	case err != nil:
		return x.IsUnspecified()
	}
	return x.Unmap() == y.Unmap() || x.IsUnspecified() && y.Unmap().Is4()
}
