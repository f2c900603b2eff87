package gateway

import gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

// FromFirst has each Gateway's search for ports begin at the first.
func (r *Reconciler) FromFirst() { r.start = func(*gatewayv1.Gateway) uint32 { return 0 } }

// Within replaces the range of the entries' ports.
func (r *Reconciler) Within(first, last uint16) { r.within = span{first, last} }
