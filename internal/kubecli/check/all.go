package check

import (
	"context"

	"github.com/eastway/eastway/internal/kubecli"
)

// Options of All.
type Options struct {
	// Public also dials the public addresses of this cluster's proxies from here.
	Public bool
	// Call is a service to call, NAMESPACE/SERVICE:PORT; "": none.
	Call *Target
	// Version is our own.
	Version string
	// InPod: this process runs in a pod of the cluster, and its DNS and addresses are the cluster's.
	InPod bool
}

// Sections, in the order in which they are printed.
const (
	sectionKubernetes   = "kubernetes"
	sectionInstallation = "installation"
	sectionIdentity     = "identity"
	sectionPeers        = "peers"
	sectionServices     = "services"
	sectionTunnels      = "tunnels"
	sectionDNS          = "dns"
	sectionTakeover     = "takeover"
	sectionCall         = "call"
)

// All are the checks of an installation.
func All(cluster *kubecli.Cluster, o Options) []Check {
	f := newFacts(cluster, o)
	checks := []Check{
		{Section: sectionKubernetes, Name: "API server", Vital: true, Run: f.apiServer},
		{Section: sectionKubernetes, Name: "clock", Run: f.clock, Hint: "let both machines follow a time server (NTP)"},
		{
			Section: sectionKubernetes, Name: "CRDs of Eastway", Run: f.eastwayKinds,
			Hint: "install them: kubectl apply --server-side -f charts/eastway/crds (helm installs CRDs, but does not update them)",
		},
		{
			Section: sectionKubernetes, Name: "CRDs of the MCS API", Run: f.mcsKinds,
			Hint: "install them: kubectl apply --server-side -f charts/eastway/crds (helm installs CRDs, but does not update them)",
		},
		{Section: sectionInstallation, Name: "installed", Vital: true, Run: f.installed},
		{Section: sectionInstallation, Name: "controller", Run: f.controller},
		{Section: sectionInstallation, Name: "leader", Run: f.leader},
		{Section: sectionInstallation, Name: "proxies", Run: f.proxiesReady},
		{Section: sectionInstallation, Name: "zones", Run: f.zones},
		{Section: sectionInstallation, Name: "versions", Run: f.versions},
		{Section: sectionInstallation, Name: "rights", Run: f.rights, Hint: "helm upgrade restores the chart's roles"},
		{Section: sectionInstallation, Name: "errors", Run: f.errors},
		{Section: sectionIdentity, Name: "own manifest", Run: f.ownManifest},
		{Section: sectionIdentity, Name: "CA", Run: func(ctx context.Context) []Result { return authority(ctx, f) }},
		{Section: sectionIdentity, Name: "certificates", Run: f.certificates},
		{Section: sectionPeers, Name: "peers", Run: f.peerStates},
		{Section: sectionServices, Name: "exports", Run: func(ctx context.Context) []Result { return exports(ctx, f) }},
		{Section: sectionServices, Name: "policies", Run: func(ctx context.Context) []Result { return policies(ctx, f) }},
		{Section: sectionServices, Name: "network policies", Run: func(ctx context.Context) []Result { return networkPolicies(ctx, f) }},
		{Section: sectionTunnels, Name: "QUIC", Run: f.lanesOf("quic")},
		{Section: sectionTunnels, Name: "TCP", Run: f.lanesOf("tcp")},
		{Section: sectionTunnels, Name: "congestion control", Run: f.congestionControl},
	}
	if o.Public {
		checks = append(checks, Check{Section: sectionTunnels, Name: "public addresses", Run: f.publicAddresses})
	}
	checks = append(checks,
		Check{Section: sectionDNS, Name: "clusterset.local", Run: f.dnsConfig},
		Check{Section: sectionDNS, Name: "lookup", Run: f.dnsLookup},
		Check{Section: sectionDNS, Name: "external names", Run: f.externalNames},
		Check{Section: sectionTakeover, Name: "kube-proxy", Run: f.kubeProxy},
		Check{Section: sectionTakeover, Name: "node agents", Run: f.nodeAgents},
		Check{Section: sectionTakeover, Name: packetCheck, Run: f.packets},
		Check{Section: sectionTakeover, Name: "taken-over Services", Run: f.takenOver},
	)
	if o.Call != nil {
		checks = append(checks, Check{Section: sectionCall, Name: "call", Run: (&calling{f}).call})
	}
	return checks
}
