// Package discovery owns the catalog: which services there are, where their
// endpoints are, and what peers export. Sources (discovery/file, discovery/kube)
// set the local state; Exchange advertises exports to peers and applies the
// adverts of peers; failover reads immutable Snapshots.
//
// It never sends application traffic and never decides where a call goes.
package discovery
