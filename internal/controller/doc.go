// Package controller is the one process of a cluster that writes Kubernetes
// objects: identity, what the MCS API shows, derived Services, those of Gateways,
// and statuses. It wires its parts to a controller-runtime manager; of several
// replicas one leads and writes.
package controller
