// Package peering reads, checks and compares Peer manifests: what `eastway peer export` prints in one cluster and
// `eastway peer import` takes in another, whether it ends in a directory or in Kubernetes.
package peering
