// Package kubetest is a small double of a Kubernetes API server, for tests of what talks to one over HTTP: it keeps objects,
// and forwards ports. It validates nothing, and runs no controllers.
package kubetest
