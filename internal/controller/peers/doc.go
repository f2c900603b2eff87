// Package peers judges Peer manifests, tells the catalog which clusters may be
// believed, and writes to each Peer's status what the proxies say of it: whether
// it is accepted, trusted, connected, and which side can reach the other.
package peers
