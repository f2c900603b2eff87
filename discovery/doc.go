// Package discovery owns the catalog: which services there are, where their
// endpoints are, and what peers export. Sources (discovery/file) put local
// state in; Exchange tells peers about exports and takes in theirs; failover
// reads immutable Snapshots.
//
// It never sends application traffic and never decides where a call goes.
package discovery
