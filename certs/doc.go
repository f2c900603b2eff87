// Package certs owns identities: a cluster's certificate authority, the
// short-lived X.509 SVIDs of its proxies and their renewal, and the trust
// bundles of its peers. It hands out TLS configurations that accept exactly
// the peers that are trusted.
//
// It never dials or listens, and knows nothing of lanes or services.
package certs
