package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// table is the name of the nftables table.
const table = "balancer"

// rules are the nftables commands that replace all rules by those for the
// forwards, at once.
func rules(all []forward, site netip.Prefix) string {
	var text strings.Builder
	ip := "ip"
	if site.Addr().Is6() {
		ip = "ip6"
	}
	fmt.Fprintf(&text, "table %[2]s %[1]s {}\ndelete table %[2]s %[1]s\ntable %[2]s %[1]s {\n", table, ip)
	text.WriteString("\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n")
	for _, f := range all {
		if len(f.nodes) == 0 { // the gateway itself refuses
			continue
		}
		fmt.Fprintf(&text, "\t\t%s daddr %s %s dport %d dnat to %s:%d\n", ip, f.address, f.protocol, f.port, choice(f.nodes), f.nodePort)
	}
	text.WriteString("\t}\n\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n")
	// A neighbor's answers would go straight to a caller of the same site.
	fmt.Fprintf(&text, "\t\t%s saddr %s ct status dnat masquerade\n\t}\n}\n", ip, site)
	return text.String()
}

// choice of one of the nodes for each new connection.
func choice(nodes []netip.Addr) string {
	if len(nodes) == 1 {
		if nodes[0].Is6() {
			return "[" + nodes[0].String() + "]"
		}
		return nodes[0].String()
	}
	entries := make([]string, len(nodes))
	for i, n := range nodes {
		entries[i] = fmt.Sprintf("%d : %s", i, n)
	}
	return fmt.Sprintf("numgen random mod %d map { %s }", len(nodes), strings.Join(entries, ", "))
}
