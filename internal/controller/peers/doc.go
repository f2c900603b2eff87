// Package peers judges Peer manifests, sets the catalog's trusted peers, and
// writes to each Peer's status what the proxies report of it: whether
// it is accepted, trusted, connected, and which side can reach the other.
package peers
