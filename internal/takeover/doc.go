// Package takeover is the node agent: it sends calls to the cluster IPs of
// taken-over Services to the nearest live proxy.
//
// It does the same for the Services that the controller made for imports: kube-proxy
// would notice a lost proxy seconds later than the agent.
//
// It watches Services and the proxies' EndpointSlices, probes each proxy several
// times a second (is it alive, is it ready, on which ports does it listen),
// decides (Decide, a pure function), and has package nft write the node's
// tables. When it does which of these, a pure type decides as well (pacer), and
// how it judges a proxy by its probes (vitals). Only TCP is taken over; UDP and SCTP stay with kube-proxy.
//
// # What is refused
//
// Package eligible has the rule: a Service cannot be taken over if it has no cluster IP (headless,
// ExternalName), internalTrafficPolicy Local (its calls must not leave the
// node, and proxies send them wherever a healthy endpoint is), the API
// server's own Service, and Eastway's own ones.
//
// # It fails open
//
//   - A proxy that refuses, is unreachable or does not listen for a service gets
//     none of its calls. With no proxy left there is no entry, and kube-proxy
//     serves. A timeout is weaker evidence, and none while the agent itself was
//     kept from running (lateness): calls go to other proxies at once, but where
//     there are none they stay: for suspectLife, or for as long as no local
//     endpoint is ready, since kube-proxy would refuse them.
//   - Entries live EntryLife and are renewed every refreshInterval. When the
//     agent dies they end by themselves; when it is only replaced (SIGTERM) it
//     renews them a last time for its successor. The successor touches nothing
//     before it has probed every proxy.
//   - Without the API server it continues with its last state, also after a
//     restart: the last inventory is kept in a file.
//   - When its DaemonSet is gone, it takes its tables with it. `--cleanup` does
//     the same by hand.
//
// # The packet check
//
// Some data paths (eBPF socket load balancers, as in Cilium's or Calico's
// replacement of kube-proxy) translate cluster IPs before a packet exists, so
// no nftables rule ever sees them. Every checkInterval the agent connects to a
// cluster IP that such a data path handles (the API server's) with a mark that
// one rule of ours sends back to the agent; no other traffic has the mark. If
// the connection ends elsewhere, the node is reported: log, metric, /readyz,
// /takeovers. The check starts in the node's own network namespace: a data
// path that treats only pods differently needs a call from a pod to be found.
//
// # Proof
//
// Proxies list services only to agents that prove to be of the same cluster
// (Credentials), and an agent sends calls only to proxies that do. A proxy of the
// release before, whose slice has no port for that, is read as any client may; so are
// all until the agent has its certificate.
//
// # Rights
//
// The agent only reads from the API server, and reports at its health port, so
// that no node can write what others rely on. It needs
// NET_ADMIN and the host's network, no other capability.
package takeover
