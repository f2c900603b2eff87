// Package steer chooses which addresses of a name a client gets: by strategy, by what is in, and by where the client is. It is fed with what
// was judged, and never judges an address.
package steer
