package v1alpha1

// Modes of TLS to endpoints of an ExternalService, as in Istio; SPIFFE is Eastway's own.
const (
	TLSDisable = "DISABLE"
	TLSSimple  = "SIMPLE"
	TLSMutual  = "MUTUAL"
	TLSSPIFFE  = "SPIFFE"
)
