// Package chain is the application of the drills: mocka calls mockb calls
// mockc, over HTTP and on a new connection each time, and each answers
// "-> NAME(version: ZONE, ip: IP)" followed by its upstream's answer. Beside it
// runs a TCP service for long streams (see Streams).
//
// It knows nothing of Eastway, and is configured as such applications are: by
// the environment variables app, version, upstream_url and text.
package chain
