// Package netpol judges what the NetworkPolicies of a cluster allow, by the rules
// of Kubernetes. It is pure: whether the network plugin enforces policies, and what
// it has besides them, is not its concern.
//
// Where the rules or the facts leave open whether a connection is allowed, as for
// ranges of addresses and pods, it counts as allowed: what is reported as denied is.
package netpol
