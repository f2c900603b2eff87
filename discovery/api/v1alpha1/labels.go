package v1alpha1

// Annotations, labels and names that Eastway's processes know each other's objects by.
const (
	// TakeoverAnnotation on a Service, set to "true", has Eastway answer the Service's own cluster IP.
	TakeoverAnnotation = "eastway.dev/takeover"
	// ProtocolAnnotation on a Service is the protocol of its TCP ports: one for all, or a list PORT=PROTOCOL[,PORT=PROTOCOL…] with
	// names or numbers of ports. Requests on ports with a protocol that is HTTP in clear are carried one by one.
	ProtocolAnnotation = "eastway.dev/protocol"
	// ProxyProtocolAnnotation on a Service has its endpoints get the header of the PROXY protocol on each connection: "v2".
	ProxyProtocolAnnotation = "eastway.dev/proxy-protocol"
	// ExportToAnnotation on a ServiceExport names the Peers that may call the service, separated by commas; * or no annotation: all.
	ExportToAnnotation = "eastway.dev/export-to"
	// ExportToDryRunAnnotation on a ServiceExport, set to "true", has ExportToAnnotation deny nothing: what it would deny is logged and counted.
	ExportToDryRunAnnotation = "eastway.dev/export-to-dry-run"

	// RootsAnnotation on a Peer has the fingerprints of this cluster's roots that `eastway peer link` last gave to that peer, separated by commas.
	RootsAnnotation = "eastway.dev/roots-given"

	// PrecedenceAnnotation on a derived Service of kind DerivedImport names the exporting clusters in the order in which they decide,
	// separated by commas.
	PrecedenceAnnotation = "eastway.dev/precedence"

	// LocalEndpointsAnnotation on a derived Service of kind DerivedTakeover is NoLocalEndpoints if no endpoint of the taken-over Service
	// is ready in its own cluster, else SomeLocalEndpoints.
	LocalEndpointsAnnotation = "eastway.dev/local-endpoints"

	// DerivedLabel marks a Service that the controller made for another one: one of the Derived… values.
	DerivedLabel = "eastway.dev/derived"
	// ServiceNamespaceLabel and ServiceNameLabel name the service that a derived Service stands for.
	ServiceNamespaceLabel = "eastway.dev/service-namespace"
	ServiceNameLabel      = "eastway.dev/service-name"
	// ClusterLabel and HostnameLabel name the one pod that a derived Service of kind DerivedPod stands for.
	ClusterLabel  = "eastway.dev/cluster"
	HostnameLabel = "eastway.dev/hostname"

	// GatewayNamespaceLabel and GatewayUIDLabel on a Service that the controller made for a Gateway say for which one, beside
	// gateway.networking.k8s.io/gateway-name, which has a hash in the place of what a label cannot hold.
	GatewayNamespaceLabel = "eastway.dev/gateway-namespace"
	GatewayUIDLabel       = "eastway.dev/gateway-uid"

	// ManagedBy is the value of endpointslice.kubernetes.io/managed-by on the slices that Eastway writes.
	ManagedBy = "controller.eastway.dev"
	// ManagedByName is the value of app.kubernetes.io/managed-by on everything that Eastway writes.
	ManagedByName = "eastway"
)

// Values of LocalEndpointsAnnotation.
const (
	NoLocalEndpoints   = "none"
	SomeLocalEndpoints = "some"
)

// Values of DerivedLabel.
const (
	// DerivedImport backs a ServiceImport: its cluster IP is the ClusterSetIP.
	DerivedImport = "import"
	// DerivedTakeover gives a taken-over Service ports on the proxies.
	DerivedTakeover = "takeover"
	// DerivedPod is one remote pod of a headless import.
	DerivedPod = "pod"
	// DerivedExternal is where callers in the cluster reach an ExternalService.
	DerivedExternal = "external"
)
