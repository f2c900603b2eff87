package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubecli/netpol"
)

const (
	// tunnelPort of proxies, at which peers connect.
	tunnelPort = 15443
	// enforced is what no API shows.
	enforced = "if the network plugin enforces it"
)

// networkPolicies looks for those that keep callers from proxies, proxies from endpoints, or peers from proxies.
func networkPolicies(ctx context.Context, f *facts) []Result {
	all, err := kubecli.NetworkPolicies(ctx, f.cluster)
	if err != nil {
		return one(unknown(err))
	}
	if len(all) == 0 {
		return one(ok("there are no NetworkPolicies"))
	}
	j := &judge{facts: f, policies: map[string][]networkingv1.NetworkPolicy{}, pods: map[string][]*policyPod{}}
	for i := range all {
		j.policies[all[i].Namespace] = append(j.policies[all[i].Namespace], all[i])
	}
	results, err := j.run(ctx)
	if err != nil {
		return append(results, unknown(err))
	}
	if len(results) == 0 {
		return one(ok("%s: none is in the way of calls through Eastway", count(len(all), "NetworkPolicy", "NetworkPolicies")))
	}
	return results
}

// judge knows what policies are about.
type judge struct {
	*facts
	policies map[string][]networkingv1.NetworkPolicy // by namespace
	pods     map[string][]*policyPod                 // likewise, those that were needed so far
	proxies  []*policyPod
	services []carried
}

// policyPod is one pod of each set that policies cannot tell apart.
type policyPod struct {
	netpol.Pod
	name string
}

// carried is a Service of this cluster whose endpoints proxies call.
type carried struct {
	*corev1.Service
	// listeners are the proxies' ports for it, if it is taken over.
	listeners []int32
}

func (c *carried) String() string { return c.Namespace + "/" + c.Name }

func (j *judge) run(ctx context.Context) ([]Result, error) {
	proxies, err := j.getProxies(ctx)
	if err != nil {
		return nil, err
	}
	if len(proxies) == 0 {
		return one(skip("there is no proxy whose labels could be compared")), nil
	}
	if j.proxies, err = j.view(ctx, j.cluster.Namespace, proxies); err != nil {
		return nil, err
	}
	if err := j.findServices(ctx); err != nil {
		return nil, err
	}
	results := j.ofProxies(ctx)
	for _, part := range []func(context.Context) ([]Result, error){j.ofEndpoints, j.ofCallers} {
		found, err := part(ctx)
		results = append(results, found...)
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// view of pods as policies have it.
func (j *judge) view(ctx context.Context, namespace string, pods []corev1.Pod) ([]*policyPod, error) {
	of, err := kubecli.NamespaceLabels(ctx, j.cluster, namespace)
	if err != nil {
		return nil, err
	}
	var out []*policyPod
	for i := range pods {
		p := &policyPod{name: pods[i].Name, Pod: netpol.Pod{
			Namespace: namespace, NamespaceLabels: of, Labels: pods[i].Labels, Host: pods[i].Spec.HostNetwork,
		}}
		for _, ip := range pods[i].Status.PodIPs {
			if a, err := netip.ParseAddr(ip.IP); err == nil {
				p.Addresses = append(p.Addresses, a)
			}
		}
		containers := slices.Concat(pods[i].Spec.InitContainers, pods[i].Spec.Containers)
		for at := range containers {
			p.Ports = append(p.Ports, containers[at].Ports...)
		}
		out = append(out, p)
	}
	return out, nil
}

func (j *judge) podsIn(ctx context.Context, namespace string) ([]*policyPod, error) {
	if pods, known := j.pods[namespace]; known {
		return pods, nil
	}
	pods, err := kubecli.RunningPods(ctx, j.cluster, namespace)
	if err != nil {
		return nil, err
	}
	view, err := j.view(ctx, namespace, pods)
	if err == nil {
		j.pods[namespace] = view
	}
	return view, err
}

// findServices are those that this cluster exports, and those that are taken over; without those that no policy can be about.
func (j *judge) findServices(ctx context.Context) error {
	wanted := map[string]map[string][]int32{} // listeners, by namespace and name
	want := func(namespace, name string, listeners []int32) {
		if wanted[namespace] == nil {
			wanted[namespace] = map[string][]int32{}
		}
		wanted[namespace][name] = append(wanted[namespace][name], listeners...)
	}
	exports, err := kubecli.Exports(ctx, j.cluster)
	if err != nil && !errors.Is(err, kubecli.ErrNoKind) {
		return err
	}
	for i := range exports {
		if meta.IsStatusConditionTrue(exports[i].Status.Conditions, string(mcsv1beta1.ServiceExportConditionValid)) {
			want(exports[i].Namespace, exports[i].Name, nil)
		}
	}
	derived, err := j.cluster.Derived(ctx, map[string]string{v1alpha1.DerivedLabel: v1alpha1.DerivedTakeover})
	if err != nil {
		return err
	}
	for i := range derived {
		want(derived[i].Labels[v1alpha1.ServiceNamespaceLabel], derived[i].Labels[v1alpha1.ServiceNameLabel], tcpTargets(&derived[i]))
	}
	for _, namespace := range slices.Sorted(maps.Keys(wanted)) {
		if len(j.policies[namespace]) == 0 && !j.added() && !j.restricted() {
			continue
		}
		services, err := kubecli.Services(ctx, j.cluster, namespace)
		if err != nil {
			return err
		}
		for i := range services {
			if listeners, found := wanted[namespace][services[i].Name]; found {
				j.services = append(j.services, carried{&services[i], listeners})
			}
		}
	}
	return nil
}

// added reports whether the proxies' namespace has policies that are not the chart's.
func (j *judge) added() bool {
	return slices.ContainsFunc(j.policies[j.cluster.Namespace], func(p networkingv1.NetworkPolicy) bool { return !kubecli.ByChart(j.cluster, &p) })
}

// restricted reports whether any namespace of applications restricts what its pods may call.
func (j *judge) restricted() bool {
	for namespace, policies := range j.policies {
		if namespace != j.cluster.Namespace && slices.ContainsFunc(policies, restrictsEgress) {
			return true
		}
	}
	return false
}

func restrictsEgress(p networkingv1.NetworkPolicy) bool {
	return len(p.Spec.Egress) > 0 || slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
}

// tcpTargets are the numbers of a Service's target ports.
func tcpTargets(s *corev1.Service) (targets []int32) {
	for _, p := range s.Spec.Ports {
		if (p.Protocol == "" || p.Protocol == corev1.ProtocolTCP) && p.TargetPort.Type == intstr.Int && p.TargetPort.IntVal > 0 {
			targets = append(targets, p.TargetPort.IntVal)
		}
	}
	return targets
}

// destinations are the Service's pods with the ports that it sends to. One without pods has none.
func destinations(s *corev1.Service, pods []*policyPod, see func(*policyPod, netpol.Port)) {
	if len(s.Spec.Selector) == 0 {
		return
	}
	selector := labels.SelectorFromSet(s.Spec.Selector)
	for _, pod := range pods {
		if !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, p := range s.Spec.Ports {
			if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
				continue
			}
			if number := targetOf(&p, pod); number > 0 {
				see(pod, netpol.Port{Number: number, Protocol: corev1.ProtocolTCP})
			}
		}
	}
}

// targetOf is the number of the port at the pod; 0 if the pod has none of that name.
func targetOf(p *corev1.ServicePort, pod *policyPod) int32 {
	if p.TargetPort.Type == intstr.String {
		at := slices.IndexFunc(pod.Ports, func(c corev1.ContainerPort) bool {
			return c.Name == p.TargetPort.StrVal && (c.Protocol == "" || c.Protocol == corev1.ProtocolTCP)
		})
		if at < 0 {
			return 0
		}
		return pod.Ports[at].ContainerPort
	}
	if p.TargetPort.IntVal == 0 {
		return p.Port
	}
	return p.TargetPort.IntVal
}

// blocked returns the policies that keep every proxy from what try does; none if one proxy can.
func (j *judge) blocked(try func(proxy *policyPod) []string) []string {
	var by []string
	for _, p := range j.proxies {
		denied := try(p)
		if len(denied) == 0 {
			return nil
		}
		by = denied
	}
	return by
}

// proxyPeer selects the proxies in a rule of any namespace.
func (j *judge) proxyPeer() string {
	return "[{namespaceSelector: {matchLabels: {" + corev1.LabelMetadataName + ": " + j.cluster.Namespace +
		"}}, podSelector: {matchLabels: {app.kubernetes.io/name: eastway, app.kubernetes.io/component: proxy}}}]"
}

// ofProxies are policies of the release's namespace that keep peers and callers from the proxies, and these from peers.
func (j *judge) ofProxies(ctx context.Context) (results []Result) {
	policies := j.policies[j.cluster.Namespace]
	in := func(number int32, protocol corev1.Protocol, who string) {
		by := j.blocked(func(p *policyPod) []string {
			return netpol.Ingress(policies, &p.Pod, nil, netpol.Port{Number: number, Protocol: protocol})
		})
		if b := (&block{policies: by}); len(by) > 0 {
			results = append(results, warn("%s not allow ingress to the proxies on %s port %d, where %s connect: %s, nothing gets there",
				b.subject(), protocol, number, who, enforced).
				hint("%s", b.add("ingress", fmt.Sprintf("- {ports: [{port: %d, protocol: %s}]}", number, protocol))))
		}
	}
	if own, err := j.getOwn(ctx); err == nil && len(own.Peer.Spec.Addresses) > 0 {
		in(tunnelPort, corev1.ProtocolTCP, "peers")
		in(tunnelPort, corev1.ProtocolUDP, "peers")
	}
	for i := range j.services {
		for _, port := range j.services[i].listeners {
			in(port, corev1.ProtocolTCP, "callers of "+j.services[i].String())
		}
	}
	var out blocks
	peers, err := j.getPeers(ctx)
	if err != nil {
		return results // another check says so
	}
	for i := range peers {
		for _, address := range peers[i].Spec.Addresses {
			to, port, ok := outside(address)
			if !ok {
				continue
			}
			out.add(j.blocked(func(p *policyPod) []string {
				return netpol.Egress(policies, &p.Pod, to, netpol.Port{Number: port, Protocol: corev1.ProtocolTCP})
			}), peers[i].Name+" at "+address, port)
		}
	}
	return append(results, out.results(func(b *block) Result {
		return warn("%s not allow egress of the proxies to peer %s: %s, they cannot dial it", b.subject(), and(b.what), enforced).
			hint("%s", b.add("egress", "- {ports: "+portList(b.ports)+"}"))
	})...)
}

// outside is a peer's address; of a name only the port is known.
func outside(address string) (to *netpol.Pod, port int32, ok bool) {
	if parsed, err := netip.ParseAddrPort(address); err == nil {
		return &netpol.Pod{Addresses: []netip.Addr{parsed.Addr()}}, int32(parsed.Port()), true
	}
	at := strings.LastIndexByte(address, ':')
	if at < 0 {
		return nil, 0, false
	}
	number, err := strconv.ParseUint(address[at+1:], 10, 16)
	return nil, int32(number), err == nil
}

// ofEndpoints are policies that keep the proxies from endpoints: those of the endpoints' namespaces, and those of the proxies'.
func (j *judge) ofEndpoints(ctx context.Context) ([]Result, error) {
	var ingress, egress blocks
	own := j.policies[j.cluster.Namespace]
	for i := range j.services {
		s := &j.services[i]
		there := j.policies[s.Namespace]
		if len(there) == 0 && !j.added() {
			continue // the chart's allow it
		}
		pods, err := j.podsIn(ctx, s.Namespace)
		if err != nil {
			return nil, err
		}
		destinations(s.Service, pods, func(pod *policyPod, port netpol.Port) {
			what := fmt.Sprintf("%s (port %d)", s, port.Number)
			ingress.add(j.blocked(func(p *policyPod) []string { return netpol.Ingress(there, &pod.Pod, &p.Pod, port) }), what, port.Number)
			egress.add(j.blocked(func(p *policyPod) []string { return netpol.Egress(own, &p.Pod, &pod.Pod, port) }), what, port.Number)
		})
	}
	results := ingress.results(func(b *block) Result {
		return warn("%s not allow ingress from the proxies to pods of %s: %s, calls through Eastway time out there",
			b.subject(), and(b.what), enforced).hint("%s", b.add("ingress", "- {from: "+j.proxyPeer()+", ports: "+portList(b.ports)+"}"))
	})
	return append(results, egress.results(func(b *block) Result {
		return warn("%s not allow egress of the proxies to pods of %s: %s, calls through Eastway time out there", b.subject(), and(b.what), enforced).
			hint("%s", b.add("egress", "- {to: [{namespaceSelector: {}}]}"))
	})...), nil
}

// ofCallers are policies that let pods call those of a Service that is taken over, and not the proxies that its calls go to.
func (j *judge) ofCallers(ctx context.Context) ([]Result, error) {
	var egress blocks
	taken := slices.DeleteFunc(slices.Clone(j.services), func(s carried) bool { return len(s.listeners) == 0 })
	if len(taken) == 0 {
		return nil, nil
	}
	for _, namespace := range slices.Sorted(maps.Keys(j.policies)) {
		policies := j.policies[namespace]
		if namespace == j.cluster.Namespace || !slices.ContainsFunc(policies, restrictsEgress) {
			continue
		}
		callers, err := j.podsIn(ctx, namespace)
		if err != nil {
			return nil, err
		}
		for i := range taken {
			pods, err := j.podsIn(ctx, taken[i].Namespace)
			if err != nil {
				return nil, err
			}
			j.between(policies, callers, &taken[i], pods, &egress)
		}
	}
	return egress.results(func(b *block) Result {
		return warn("%s not allow egress to the proxies, which take the calls of %s: %s, these hang", b.subject(), and(b.what), enforced).
			hint("%s (listenerPorts of the chart)",
				b.add("egress", "- {to: "+j.proxyPeer()+", ports: [{port: 20000, endPort: 29999, protocol: TCP}]}"))
	}), nil
}

// between judges the calls of one namespace's pods to one Service.
func (j *judge) between(policies []networkingv1.NetworkPolicy, callers []*policyPod, s *carried, pods []*policyPod, egress *blocks) {
	self := labels.SelectorFromSet(s.Spec.Selector)
	seen := map[string]bool{}
	for _, caller := range callers {
		set := labels.Set(caller.Labels)
		if seen[set.String()] || caller.Namespace == s.Namespace && self.Matches(set) {
			continue // a Service's own pods rarely call it
		}
		seen[set.String()] = true
		may := false
		destinations(s.Service, pods, func(pod *policyPod, port netpol.Port) {
			may = may || len(netpol.Egress(policies, &caller.Pod, &pod.Pod, port)) == 0
		})
		if !may {
			continue // it is not meant to
		}
		for _, listener := range s.listeners {
			by := j.blocked(func(p *policyPod) []string {
				return netpol.Egress(policies, &caller.Pod, &p.Pod, netpol.Port{Number: listener, Protocol: corev1.ProtocolTCP})
			})
			egress.add(by, fmt.Sprintf("%s to %s", caller.name, s), listener)
		}
	}
}
