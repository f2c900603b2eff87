package main

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/eastway/eastway/e2e/wan/link"
)

// The addresses of the ends by default: documentation ranges do not
// clash with anything (RFC 5737, RFC 3849).
const (
	defaultAddressesA = "192.0.2.1/30,2001:db8::1/64"
	defaultAddressesB = "192.0.2.2/30,2001:db8::2/64"
)

// parseOptions reads the command line.
func parseOptions(args []string, stderr io.Writer) (link.Config, error) {
	var c link.Config
	flags := flag.NewFlagSet("wan", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "usage: wan [flags] [delay=50ms jitter=2ms loss=0.1% rate=300mbit queue=100ms silent=off]\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&c.A.Namespace, "a", "", "network namespace (name or path) to join; without: a new one")
	flags.StringVar(&c.B.Namespace, "b", "", "the other one")
	c.A.Addresses, c.B.Addresses = mustPrefixes(defaultAddressesA), mustPrefixes(defaultAddressesB)
	flags.Var(prefixes{&c.A.Addresses}, "address-a", "addresses of the device in a, with prefix lengths, separated by commas")
	flags.Var(prefixes{&c.B.Addresses}, "address-b", "the same in b")
	flags.Var(prefixes{&c.A.Routes}, "route-a", "networks to be reached through the device in a, separated by commas")
	flags.Var(prefixes{&c.B.Routes}, "route-b", "the same in b")
	flags.StringVar(&c.A.Device, "device", link.DefaultDevice, "name of the device at either end")
	flags.IntVar(&c.MTU, "mtu", link.DefaultMTU, "longest IP packet in bytes")
	flags.Uint64Var(&c.Seed, "seed", 1, "seed of chance: the same packets are lost again")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	c.B.Device = c.A.Device
	settings, err := link.ParseSettings(link.Settings{}, flags.Args()...)
	if err != nil {
		return c, err
	}
	c.AtoB, c.BtoA = settings, settings
	return c, c.Validate()
}

// prefixes is a flag of networks separated by commas.
type prefixes struct{ value *[]netip.Prefix }

// String implements flag.Value.
func (p prefixes) String() string {
	if p.value == nil {
		return ""
	}
	words := make([]string, len(*p.value))
	for i, prefix := range *p.value {
		words[i] = prefix.String()
	}
	return strings.Join(words, ",")
}

// Set implements flag.Value.
func (p prefixes) Set(text string) error {
	parsed, err := parsePrefixes(text)
	if err == nil {
		*p.value = parsed
	}
	return err
}

func parsePrefixes(text string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for word := range strings.SplitSeq(text, ",") {
		if word == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			return nil, err
		}
		list = append(list, prefix)
	}
	return list, nil
}

// mustPrefixes is for constants.
func mustPrefixes(text string) []netip.Prefix {
	list, err := parsePrefixes(text)
	if err != nil {
		panic(err)
	}
	return list
}
