// Command balancer gives Services of type LoadBalancer an address of their
// cluster's site and sends what arrives there, TCP and UDP, to the nodes, as a
// cloud's load balancer does: by nftables in the network of the site's gateway.
// Callers from other sites keep their address.
//
// A node gets new connections while it is healthy: for a Service with
// externalTrafficPolicy Local when its health check port says that it has a
// ready pod, else when its kube-proxy says that it is well. Two annotations of a
// Service make its load balancer worse than it has to be:
//
//	lab.eastway.dev/lag: 10s     changes of health take effect that much later
//	lab.eastway.dev/pick: first  always the first healthy node, instead of chance
//
// While the API server does not answer, everything known goes on.
package main
