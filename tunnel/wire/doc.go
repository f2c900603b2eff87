// Package wire is the protocol between two proxies, above a transport's streams:
// records, the protobuf messages in them (tunnelpb), and the bounds of what is
// taken from a peer. What a peer can do is in its Hello's features.
//
// It reads and writes, and keeps no state. It does not know what a record is for.
package wire
