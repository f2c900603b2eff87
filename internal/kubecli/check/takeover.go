package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/takeover/report"
)

func (f *facts) kubeProxy(ctx context.Context) []Result {
	config, err := f.cluster.ConfigMap(ctx, "kube-system", "kube-proxy")
	switch {
	case errors.Is(err, kubecli.ErrNotFound):
		return one(skip("how Services are served here is not known (there is no ConfigMap kube-system/kube-proxy); see '%s' below",
			packetCheck))
	case err != nil:
		return one(unknown(err))
	}
	switch mode := proxyMode(config.Data["config.conf"]); mode {
	case "nftables", "iptables":
		return one(ok("kube-proxy works with %s", mode))
	case "":
		return one(ok("kube-proxy works in its default mode, iptables"))
	default:
		return one(warn("kube-proxy works with %q, with which takeover is not tested", mode).
			hint("'%s' below shows whether takeover works", packetCheck))
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

// nodeAgents requires one that answers on every node.
func (f *facts) nodeAgents(ctx context.Context) []Result {
	agents, err := f.getAgents(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if len(agents) == 0 {
		return one(f.noAgents(ctx))
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
		case a.Status.Error != "" || a.Status.Unproven != "":
			results = append(results, ofAgent(a, f.cluster.Release))
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
		results = append(results, withoutAgents(ctx, f, without))
	}
	if len(results) == 0 {
		return one(ok("an agent on every node (%d)", len(agents)))
	}
	return results
}

// withoutAgents is about nodes that have none.
func withoutAgents(ctx context.Context, f *facts, nodes []string) Result {
	if made, err := f.getWorkload(ctx, kubecli.Node); err == nil && made != nil && made.Problem != "" {
		return warn("no agent on %s, so that kube-proxy serves taken-over Services there: %s", and(nodes), made.Problem).
			hint("%s", refusedHint(f.cluster.Namespace, made))
	}
	return warn("no agent on %s: kube-proxy serves taken-over Services there", and(nodes)).
		hint("see node.nodeSelector and node.tolerations of the chart")
}

// ofAgent is what an agent that answers lacks.
func ofAgent(a *kubecli.Agent, release string) Result {
	if a.Status.Error != "" {
		return fail("the agent on %s: %s", a.Pod.Spec.NodeName, a.Status.Error)
	}
	return warn("the agent on %s cannot prove to proxies what it is: %s", a.Pod.Spec.NodeName, a.Status.Unproven).
		hint("the controller issues Secret %s-node-svid, unless it did not write %s-svid either: then make both where that one is made; "+
			"kubelets mount a new Secret within two minutes", release, release)
}

// noAgents distinguishes agents that are not enabled from those that do not start.
func (f *facts) noAgents(ctx context.Context) Result {
	none := warn("there are no node agents: no Service can be taken over")
	switch made, err := f.getWorkload(ctx, kubecli.Node); {
	case err != nil:
		return none.hint("%s; cannot see whether it is in effect: %v", f.cluster.HelmSet("node.enabled=true"), err)
	case made == nil:
		return none.hint("%s", f.cluster.HelmSet("node.enabled=true"))
	case made.Problem != "":
		return warn("%s has no pods, so that no Service can be taken over: %s", made, made.Problem).
			hint("%s", refusedHint(f.cluster.Namespace, made))
	default:
		return warn("%s has no pods: no Service can be taken over", made).
			hint("kubectl -n %s describe daemonset %s: agents need the host's network, and a namespace whose pod security is privileged; "+
				"see also node.nodeSelector and node.tolerations of the chart", f.cluster.Namespace, made.Name)
	}
}

// packetCheck is the name of the check packets.
const packetCheck = "packet check"

// packets requires that nftables sees the calls to Services on every node.
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
			results = append(results, fail("%s: nftables is bypassed on %s: %s", packetCheck, a.Pod.Spec.NodeName, a.Status.Datapath.Bypassed).
				hint("takeover needs a data path that leaves Services to kube-proxy (Cilium: kubeProxyReplacement=false)"))
		case a.Status.Datapath.Undecided != "":
			results = append(results, warn("%s on %s has no result: %s", packetCheck, a.Pod.Spec.NodeName, a.Status.Datapath.Undecided).
				hint("takeover goes on meanwhile; look at the node's load (kubectl top node %s)", a.Pod.Spec.NodeName))
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
		results = append(results, ok("%s: nftables sees calls to Services on %s", packetCheck, count(good, "node", "nodes")))
	}
	if len(results) == 0 {
		return one(skip("no node agent answered"))
	}
	return results
}

// takenOver is how nodes serve the Services with the annotation, and imports, whose calls go to the nearest proxy as well.
func (f *facts) takenOver(ctx context.Context) []Result {
	agents, err := f.getAgents(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if len(agents) > 0 && !slices.ContainsFunc(agents, func(a kubecli.Agent) bool { return a.Err == nil }) {
		return one(skip("no node agent answered"))
	}
	problems := map[string][]string{} // nodes, by problem
	var taken, imported, order []string
	for i := range agents {
		for j := range agents[i].Status.Services {
			s := &agents[i].Status.Services[j]
			problem, names := s.Service, &taken
			if s.Carries != "" {
				// Users know the service, not the one that the controller made for it.
				problem, names = "import "+s.Carries, &imported
			}
			if name := cmp.Or(s.Carries, s.Service); !slices.Contains(*names, name) {
				*names = append(*names, name)
			}
			why := problemOf(s)
			if why == "" {
				continue
			}
			problem += ": " + why
			if problems[problem] == nil {
				order = append(order, problem)
			}
			problems[problem] = append(problems[problem], agents[i].Pod.Spec.NodeName)
		}
	}
	var results []Result
	for _, problem := range order {
		results = append(results, warn("%s (on %s): kube-proxy serves it", problem, and(problems[problem])).hint("%s", notTakenHint(problem)))
	}
	switch {
	case len(results) > 0:
		return results
	case len(taken)+len(imported) == 0:
		return one(skip("no Service is taken over"))
	}
	if len(taken) > 0 {
		results = append(results, ok("taken over: %s", and(taken)))
	}
	if len(imported) > 0 {
		results = append(results, ok("imports led to the nearest proxy: %s", and(imported)))
	}
	return results
}

// notTakenHint is what to do about a problem of a service, which begins with its name.
func notTakenHint(problem string) string {
	service, _, _ := strings.Cut(problem, ":")
	if imported, is := strings.CutPrefix(service, "import "); is {
		return fmt.Sprintf("'eastway endpoints %s' shows whether an endpoint can serve it", imported)
	}
	return fmt.Sprintf("'eastway takeover %s --dry-run' shows what is in the way; --undo leaves it to kube-proxy", service)
}

func problemOf(s *report.ServiceStatus) string {
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
