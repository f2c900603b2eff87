// Package binaries builds the programs of a real Kubernetes from the Go module
// proxy and keeps them in a cache outside of the checkout, since the first build
// takes minutes.
//
// Each folder below this one is a module of its own whose go.mod pins the
// programs of one project as tools; it is no part of the main module. A new
// version is asked for there:
//
//	cd e2e/cluster/binaries/coredns && go get -tool github.com/coredns/coredns@vX && go mod tidy
package binaries
