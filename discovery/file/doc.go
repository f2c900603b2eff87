// Package file is the source of the catalog for sites without a Kubernetes API: it reads a directory of the very
// manifests that a cluster would be given, follows it, and keeps the last good state of each object while a file is broken.
//
// It knows v1 Service and Node, discovery.k8s.io/v1 EndpointSlice, multicluster.x-k8s.io ServiceExport, eastway.dev/v1alpha1
// Peer, TrafficPolicy and ExternalService, networking.istio.io DestinationRule, ServiceEntry and VirtualService, and v1 List of
// these. It never writes.
package file
