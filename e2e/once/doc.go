// Command once sends a million POSTs and a million GETs through 200 faults, in file mode on this machine's loopback addresses,
// and counts what was executed:
//
//	go run ./e2e/once
//
// Callers in cluster home call two services through its two proxies, over HTTP/1.1 and HTTP/2. One service has endpoints in
// home, and both have some in the clusters east and west, which home reaches through relays. Faults hit one of east and west at
// a time, and home beside it, so an endpoint without a fault can always be reached. No POST may be executed twice, none that
// was answered "not executed" may have been, and no GET may fail but by the end of the proxy that its caller is connected to.
package main
