package mcs

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// plan is what follows from a state.
type plan struct {
	// valid is the reason of the export's condition Valid; exported means that it is honored.
	valid    mcsv1beta1.ServiceExportConditionReason
	exported bool
	// imported: there must be an import, as in resolved. foreign: there cannot be, one that Eastway did not make exists.
	imported bool
	foreign  bool
	resolved discovery.Import
	// heard is when this cluster first heard of each peer's export.
	heard map[string]time.Time
	// derived Services that are wanted.
	derived []derivation
	// refused and refusal are the reason and the text of an ExternalService's condition Accepted when it is not used.
	refused, refusal string
	// takeover is why a requested takeover is impossible.
	takeoverProblem string
	// left is what had to be omitted.
	left []string
}

// makePlan decides; it reads nothing but the state.
func makePlan(cluster string, s *state, now time.Time) plan {
	var p plan
	p.planExternal(s)
	whole := discovery.Service{Name: s.name, Peers: slices.Clone(s.peers)}
	if s.export != nil {
		p.planExport(s, &whole)
	}
	p.heard = s.firstHeard(whole.Export, now)
	for i := range whole.Peers {
		whole.Peers[i].Heard = p.heard[whole.Peers[i].Peer]
	}
	p.resolved = discovery.Resolve(cluster, &whole)
	p.foreign = s.serviceImport != nil && !ours(s.serviceImport)
	p.imported = len(p.resolved.Clusters) > 0 && s.namespace && !p.foreign
	if n := len(p.resolved.Ports); n > maxImportPorts {
		p.resolved.Ports = p.resolved.Ports[:maxImportPorts]
		p.left = append(p.left, "ports")
	}
	if p.imported {
		p.planImport(s)
	}
	if wanted, problem := takenOver(s.service); wanted && problem == "" {
		d := derivation{
			kind: v1alpha1.DerivedTakeover, service: s.name, ports: ports(s.service), spec: spec(s.service), local: v1alpha1.NoLocalEndpoints,
		}
		if slices.ContainsFunc(s.local, hasReady) {
			d.local = v1alpha1.SomeLocalEndpoints
		}
		p.derived = append(p.derived, d)
	} else {
		p.takeoverProblem = problem
	}
	return p
}

// planExport has whole offered to peers, if the export is valid.
func (p *plan) planExport(s *state, whole *discovery.Service) {
	outside := s.service == nil && s.external != nil && p.refused == ""
	p.valid, whole.Export = validity(s.export, s.service, outside)
	switch p.exported = whole.Export != nil; {
	case p.exported && outside:
		whole.Ports = externalPorts(s.external)
	case p.exported:
		whole.Ports, whole.Spec = ports(s.service), spec(s.service)
	}
}

func (p *plan) planImport(s *state) {
	if !p.resolved.Spec.Headless {
		d := derivation{
			kind: v1alpha1.DerivedImport, service: s.name, ports: p.resolved.Ports, spec: p.resolved.Spec, precedence: p.resolved.Clusters,
		}
		if s.serviceImport != nil {
			d.ips = s.serviceImport.Spec.IPs
		}
		if len(d.ports) > 0 { // else there is nothing that could be called
			p.derived = append(p.derived, d)
		}
		return
	}
	pods := 0
	for i := range s.peers {
		peer := &s.peers[i]
		ports := offered(p.resolved.Ports, peer.Ports)
		for _, pod := range peer.Pods {
			switch {
			case len(ports) == 0 || len(validation.IsDNS1123Label(pod.Hostname)) > 0:
				continue
			case pods == maxImportPods:
				p.left = append(p.left, "pods")
				return
			}
			pods++
			p.derived = append(p.derived, derivation{
				kind: v1alpha1.DerivedPod, service: s.name, ports: ports,
				pod: discovery.PodRef{Cluster: peer.Peer, Hostname: pod.Hostname},
			})
		}
	}
}

// offered are those of the import's ports that the cluster has.
func offered(union, cluster []discovery.ServicePort) []discovery.ServicePort {
	var out []discovery.ServicePort
	for _, p := range union {
		if slices.ContainsFunc(cluster, func(o discovery.ServicePort) bool { return o.Port == p.Port && o.Protocol == p.Protocol }) {
			out = append(out, p)
		}
	}
	return out
}
