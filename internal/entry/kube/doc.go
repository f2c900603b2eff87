// Package kube follows what an entry serves through the Kubernetes API server: Gateways of Eastway's GatewayClasses, and what belongs to
// them. It keeps what it knows while the API server is away, works before the definitions of Gateway API are there, and reads no Secret that
// is not named by a Gateway. It writes nothing (package status does), and does not judge what the objects mean: package route does.
package kube
