// Command scale measures Eastway with many services, on a real API server: how
// long it takes to start and to converge, what it writes, how much memory and
// CPU it takes, and how soon a change is known elsewhere. Linux, as root:
//
//	go run ./e2e/scale --services 1000 --json small.json
//	go run ./e2e/scale --services 10000 --against small.json
//
// One cluster is brought up (package lab) with the chart's CRDs, accounts and
// roles; controller and proxies are the real binary with the chart's flags and
// accounts, as processes in the nodes' networks. The cluster exports --services
// services. --peers simulated clusters, each with a CA of its own, export as many
// together: half of them under names that the cluster exports as well. They run in
// this process, on the very packages that proxies are made of.
//
// The API server is Kubernetes 1.34 and behaves as 1.32: later ones count all cluster
// IPs whenever they give one out, which would be most of what is measured.
//
// With --against it fails when work that does not depend on how fast the computer
// is (writes, bytes, allocations) has grown by more than half more than the number
// of services; a node agent's for each time that it writes its rules, which it does by
// the clock as well. docs/scale.md explains the figures.
package main
