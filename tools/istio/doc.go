// Package istio compares the list of Istio's fields in discovery/istio/testdata with Istio's API. It has a module file of its own, tools/istio.mod,
// and is no part of any build, so that Istio's API is no dependency of Eastway's: `make istio-api`.
package istio
