// Package nft writes the nftables tables that send calls of taken-over
// Services to proxies. Its tables are `ip eastway` and `ip6 eastway`; no other
// is ever touched, and no program is run: it speaks netlink itself.
//
// The chains prerouting and output have priority −105, just before
// kube-proxy's −100, so that the first translation of a connection is ours; at
// −95 kube-proxy wins, at −100 the one that registered first. Layout of a table:
//
//	map services { type ipv4_addr . inet_proto . inet_service : verdict; timeout }      cluster IP and port → goto a group
//	map ports    { type ipv4_addr . inet_proto . inet_service : inet_service; timeout } … → the proxies' port for it
//	set hairpin  { type ipv4_addr . ipv4_addr; timeout }                                proxies that call themselves
//	chain prerouting, output  { ip daddr . meta l4proto . th dport vmap @services }
//	chain group-N             { dnat to (one of the group's proxies) : ip daddr . meta l4proto . th dport map @ports }
//	chain postrouting         { ct status dnat ip saddr . ip daddr @hairpin masquerade }
//
// A group is a set of equally good proxies; each new connection takes one of
// them at random, or by its source address where the Service has session
// affinity. Every write declares the whole content in one transaction, so it
// is atomic, it repairs what others changed, and it renews the timeouts. Once
// the writes stop, the entries time out, and kube-proxy serves as before.
//
// It never decides where a call goes, and it never uses the API server.
package nft
