package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/takeover"
)

// Takeover are the checks of one Service before it is taken over.
func Takeover(cluster *kubecli.Cluster, service *corev1.Service) []Check {
	f := &facts{cluster: cluster}
	name := service.Namespace + "/" + service.Name
	return []Check{
		{Section: name, Name: "Service", Run: func(context.Context) []Result { return ofService(service, cluster.Namespace) }},
		{Section: name, Name: "endpoints", Run: func(ctx context.Context) []Result { return f.endpoints(ctx, service) }},
		{Section: sectionInstallation, Name: "proxies", Run: f.proxiesReady},
		{Section: sectionTakeover, Name: "node agents", Run: f.nodeAgents},
		{Section: sectionTakeover, Name: "packets", Run: f.packets},
	}
}

// ofService judges what the Service itself says.
func ofService(s *corev1.Service, namespace string) []Result {
	if why := takeover.Refusal(s, namespace); why != "" {
		return one(fail("it can't be taken over: %s", why))
	}
	results := one(ok("it can be taken over: cluster IP %s", s.Spec.ClusterIP))
	for _, p := range s.Spec.Ports {
		if p.Protocol != corev1.ProtocolTCP && p.Protocol != "" {
			results = append(results, warn("port %d/%s stays with kube-proxy: only TCP is taken over", p.Port, p.Protocol))
		}
	}
	return results
}

// endpoints says who would answer.
func (f *facts) endpoints(ctx context.Context, s *corev1.Service) []Result {
	local, err := f.cluster.ReadyEndpoints(ctx, s.Namespace, s.Name)
	if err != nil {
		return one(unknown(err))
	}
	imported, err := f.cluster.ServiceImport(ctx, s.Namespace, s.Name)
	if err != nil && !errors.Is(err, kubecli.ErrNoKind) {
		return one(unknown(err))
	}
	var others []string
	if own, err := f.getOwn(ctx); err == nil && imported != nil {
		others = slices.DeleteFunc(slices.Clone(imported.Clusters), func(c string) bool { return c == own.Peer.Name })
	} else if imported != nil {
		others = imported.Clusters
	}
	export := fmt.Sprintf("in a peer: eastway export %s -n %s", s.Name, s.Namespace)
	switch {
	case local == 0 && len(others) == 0:
		return one(warn("nobody would answer: it has no ready endpoint here, and no peer exports it").hint("%s", export))
	case len(others) == 0:
		return one(warn("no peer exports it: its calls stay in this cluster until one does").hint("%s", export))
	case local == 0:
		return one(ok("no ready endpoint here: calls go to %s", and(others)))
	}
	return one(ok("%s here, then %s", count(local, "ready endpoint", "ready endpoints"), and(others)))
}

func (f *facts) kubeProxy(ctx context.Context) []Result {
	config, err := f.cluster.ConfigMap(ctx, "kube-system", "kube-proxy")
	switch {
	case errors.Is(err, kubecli.ErrNotFound):
		return one(skip("how Services are served here is not known (there is no ConfigMap kube-system/kube-proxy); see the packet check"))
	case err != nil:
		return one(unknown(err))
	}
	switch mode := proxyMode(config.Data["config.conf"]); mode {
	case "nftables", "iptables":
		return one(ok("kube-proxy works with %s", mode))
	case "":
		return one(ok("kube-proxy works in its default mode, iptables"))
	default:
		return one(warn("kube-proxy works with %q, with which takeover is not tested", mode).hint("the packet check says whether takeover works"))
	}
}

// proxyMode is the field "mode" of a kube-proxy configuration.
func proxyMode(config string) string {
	for line := range strings.Lines(config) {
		if value, found := strings.CutPrefix(line, "mode:"); found {
			value, _, _ = strings.Cut(value, "#")
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

// nodeAgents wants one that answers on every node.
func (f *facts) nodeAgents(ctx context.Context) []Result {
	agents, err := f.getAgents(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if len(agents) == 0 {
		return one(warn("there are no node agents: no Service can be taken over").hint("set node.enabled of the chart"))
	}
	var results []Result
	on := map[string]bool{}
	for i := range agents {
		a := &agents[i]
		on[a.Pod.Spec.NodeName] = true
		switch {
		case errors.Is(a.Err, kubecli.ErrForbidden):
			return one(unknown(a.Err))
		case a.Err != nil:
			results = append(results, fail("the agent on %s: %v", a.Pod.Spec.NodeName, a.Err).
				hint("kubectl -n %s logs %s; until it works, kube-proxy serves taken-over Services on that node", a.Pod.Namespace, a.Pod.Name))
		case a.Status.Error != "":
			results = append(results, fail("the agent on %s: %s", a.Pod.Spec.NodeName, a.Status.Error))
		}
	}
	var without []string
	nodes, err := f.getNodes(ctx)
	if err != nil {
		results = append(results, unknown(err))
	}
	for i := range nodes {
		if !on[nodes[i].Name] {
			without = append(without, nodes[i].Name)
		}
	}
	if len(without) > 0 {
		results = append(results, warn("no agent on %s: kube-proxy serves taken-over Services there", and(without)).
			hint("see node.nodeSelector and node.tolerations of the chart"))
	}
	if len(results) == 0 {
		return one(ok("an agent on every node (%d)", len(agents)))
	}
	return results
}

// packets wants nftables to see the calls to Services on every node.
func (f *facts) packets(ctx context.Context) []Result {
	agents, err := f.getAgents(ctx)
	if err != nil {
		return one(unknown(err))
	}
	var results []Result
	var unchecked []string
	good := 0
	for i := range agents {
		a := &agents[i]
		switch {
		case a.Err != nil:
		case a.Status.Datapath.Bypassed != "":
			results = append(results, fail("nftables is bypassed on %s: %s", a.Pod.Spec.NodeName, a.Status.Datapath.Bypassed).
				hint("takeover needs a data path that leaves Services to kube-proxy (Cilium: kubeProxyReplacement=false)"))
		case !a.Status.Datapath.Checked:
			unchecked = append(unchecked, a.Pod.Spec.NodeName)
		default:
			good++
		}
	}
	if len(unchecked) > 0 {
		results = append(results, skip("not checked on %s: the agent has nothing to call (--check-address), or has just started", and(unchecked)))
	}
	if good > 0 {
		results = append(results, ok("nftables sees calls to Services on %s", count(good, "node", "nodes")))
	}
	if len(results) == 0 {
		return one(skip("no node agent answered"))
	}
	return results
}

// takenOver says what became of the Services with the annotation.
func (f *facts) takenOver(ctx context.Context) []Result {
	agents, err := f.getAgents(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if len(agents) > 0 && !slices.ContainsFunc(agents, func(a kubecli.Agent) bool { return a.Err == nil }) {
		return one(skip("no node agent answered"))
	}
	trouble := map[string][]string{} // nodes, by what they say
	var names, order []string
	for i := range agents {
		for j := range agents[i].Status.Services {
			s := &agents[i].Status.Services[j]
			if !slices.Contains(names, s.Service) {
				names = append(names, s.Service)
			}
			why := troubleOf(s)
			if why == "" {
				continue
			}
			said := s.Service + ": " + why
			if trouble[said] == nil {
				order = append(order, said)
			}
			trouble[said] = append(trouble[said], agents[i].Pod.Spec.NodeName)
		}
	}
	var results []Result
	for _, said := range order {
		results = append(results, warn("%s (on %s): kube-proxy serves it", said, and(trouble[said])))
	}
	switch {
	case len(results) > 0:
		return results
	case len(names) == 0:
		return one(skip("no Service is taken over"))
	}
	return one(ok("taken over: %s", and(names)))
}

func troubleOf(s *takeover.ServiceStatus) string {
	if s.Refused != "" {
		return s.Refused
	}
	for _, p := range s.Ports {
		if p.Reason != "" && strings.HasSuffix(p.Port, "/TCP") {
			return p.Port + ": " + p.Reason
		}
	}
	return ""
}
