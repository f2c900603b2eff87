// Package kube is the source of the catalog in a Kubernetes cluster: it follows Services, EndpointSlices, Nodes,
// ServiceExports, ExternalServices, Peers and TrafficPolicies through the API server, and keeps a snapshot of them on disk, so that
// a proxy restarted while the API server is away serves what was known.
//
// Only what is relevant to Eastway goes into the catalog: services that are exported, that have a derived Service (an import, a
// takeover) or ask for one, and those outside the cluster. It never writes to the API server, and never forgets what it knows because
// the API server does not answer.
package kube
