// Package families is only tests: Eastway between three clusters of different
// IP families: one with IPv4 and IPv6, which is linked with one that has IPv6
// alone and with one that has IPv4 alone. What a tunnel carries has no family,
// so callers of either reach endpoints of either. kube-proxy is in its iptables
// mode; the other tests on clusters have nftables.
package families
