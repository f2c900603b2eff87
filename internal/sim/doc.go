// Package sim is a simulated world for tests: several clusters, each with proxies, endpoints, callers and a catalog, in one
// testing/synctest bubble. The tunnels, discovery and failover are the real code, wired as cmd/eastway wires them; the network (simnet),
// the API servers and the applications are simulated. A seed decides traffic and faults (Plan), and after each run the rules in truth.go
// have to hold (Report).
//
// The world knows the truth: which process was alive and which path was silent, and when. A call that fails while an endpoint could be
// reached is a violation, unless something that it has really come through was at fault; such calls are exceptions, counted by name.
//
// hunt runs many seeds, shrinks what it finds, and finds mutations of the product.
package sim
