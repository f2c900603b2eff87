// Package takeover is only tests: the node agent with real nftables, in network
// namespaces that play a node, its pods and kube-proxy's rules.
package takeover
