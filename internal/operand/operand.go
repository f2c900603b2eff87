// Package operand reads what people write for services and addresses, in the forms that they know from other tools, and says what is wrong
// with the rest. It never looks names up.
package operand

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Service is a service, and perhaps one of its ports.
type Service struct {
	Namespace, Name string
	Port            uint16 // 0: not said
}

// ParseService reads NAME, NAMESPACE/NAME, svc/NAME as kubectl has it, or a DNS name such as NAME.NAMESPACE.svc.cluster.local, each perhaps
// with :PORT. namespace is for those that name none, "" if there is no such.
func ParseService(text, namespace string) (Service, error) {
	name, port, err := splitPort(text)
	if err != nil {
		return Service{}, err
	}
	own, name := splitName(name)
	switch {
	case name == "" || strings.ContainsAny(name, "/."):
		return Service{}, fmt.Errorf("%q is not a service: write NAME or NAMESPACE/NAME", text)
	case own == "":
		own = namespace
	case namespace != "" && own != namespace:
		return Service{}, fmt.Errorf("%q and --namespace %s contradict each other", text, namespace)
	}
	return Service{Namespace: own, Name: name, Port: port}, nil
}

// splitPort takes :PORT off; port is 0 if there is none.
func splitPort(text string) (name string, port uint16, err error) {
	name, number, found := strings.Cut(text, ":")
	if !found {
		return name, 0, nil
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is not a service: port %q is not a number from 1 to 65535", text, number)
	}
	return name, uint16(n), nil
}

// splitName returns the namespace of a service, "" if it names none, and its name, "" if it is not well-formed.
func splitName(text string) (namespace, name string) {
	if before, after, found := strings.Cut(text, "/"); found {
		switch before {
		case "svc", "service", "services":
			return "", after
		case "":
			return "", ""
		}
		return before, after
	}
	name, rest, found := strings.Cut(text, ".")
	if !found {
		return "", name
	}
	namespace, zone, found := strings.Cut(rest, ".")
	if namespace == "" || found && zone != "svc" && !strings.HasPrefix(zone, "svc.") {
		return "", ""
	}
	return namespace, name
}

// SplitHostPort splits HOST:PORT; the host may be empty. The error is what is wrong, and how it is written.
func SplitHostPort(text string) (host string, port uint16, err error) {
	if scheme, _, found := strings.Cut(text, "://"); found {
		return "", 0, fmt.Errorf("leave out %s:// and what follows the port", scheme)
	}
	host, number, err := net.SplitHostPort(text)
	switch {
	case err != nil && strings.Contains(err.Error(), "missing port"), err == nil && number == "":
		return "", 0, errors.New("the port is missing")
	case err != nil && strings.Contains(err.Error(), "too many colons"):
		return "", 0, errors.New("an IPv6 address is written in brackets, such as [2001:db8::1]:15443")
	case err != nil:
		return "", 0, errors.New("it is not well-formed")
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not a number from 0 to 65535", number)
	}
	return host, uint16(n), nil
}
