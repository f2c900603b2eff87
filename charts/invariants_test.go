package charts

import (
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// valueSets are installations that people may want; what must hold for all is checked on each.
func valueSets() map[string]string {
	return map[string]string{
		"a name only": `cluster: east`,
		"everything": `
cluster: east
trustDomain: east.example.org
logLevel: debug
commonLabels: {team: network}
imagePullSecrets: [{name: pull}]
tunnel:
  publicAddresses: ["203.0.113.1:15443", "[2001:db8::1]:443"]
  service: {split: true, annotations: {a: b}, tcpAnnotations: {a: tcp}, loadBalancerClass: l, loadBalancerSourceRanges: [192.0.2.0/24],
            ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6, IPv4], nodePorts: {tcp: 30443, udp: 30444}}
proxy:
  autoscaling: {enabled: true}
  limits: {connections: 20000, connectionsPerListener: 10000, streams: 20000, streamsPerPeer: 10000}
  sysctls: [{name: net.ipv4.tcp_rmem, value: "4096 131072 33554432"}]
  topologySpreadConstraints: [{maxSkew: 2, topologyKey: rack, whenUnsatisfiable: ScheduleAnyway}]
  maxUnavailable: 30%
  priorityClassName: high
  nodeSelector: {pool: edge}
  tolerations: [{operator: Exists}]
  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}
  podAnnotations: {a: b}
  podLabels: {c: d}
  extraEnv: [{name: GODEBUG, value: madvdontneed=1}]
  serviceAccountAnnotations: {e: f}
  externalCredentials: [mydb, partner.api]
node: {maxUnavailable: 3, allowBBR: true, healthPort: 16000, podLabels: {c: d}}
networkPolicy: {enabled: true, metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}], egress: {to: [{podSelector: {}}]}}
monitoring:
  podMonitor: {enabled: true, interval: 30s, labels: {release: prometheus}}
  prometheusRule: {enabled: true, labels: {release: prometheus}, alertLabels: {team: network}}
  dashboard: {enabled: true, annotations: {folder: net}}
`,
		"a private site": `
cluster: site-7
image: {repository: example.org/eastway, digest: "sha256:0123456789012345678901234567890123456789012345678901234567890123"}
tunnel: {transports: [tcp], service: {enabled: false}}
proxy: {replicas: 3, accessLog: false, drain: {delaySeconds: 0, timeoutSeconds: 600}, spread: {zones: DoNotSchedule, nodes: ""}}
node: {enabled: false}
dns: {rbac: false}
aggregateRoles: false
monitoring: {serviceMonitor: {enabled: true}}
`,
		"name servers": `
cluster: east
nameServer:
  enabled: true
  manifests: {zone.yaml: "apiVersion: eastway.dev/v1alpha1", names.yaml: "apiVersion: eastway.dev/v1alpha1"}
  extraArgs: [--rate=1000]
  service: {annotations: {a: b}, loadBalancerClass: l, nodePorts: {udp: 30053, tcp: 30053}}
networkPolicy: {enabled: true}
monitoring: {podMonitor: {enabled: true, interval: 30s}}
`,
		"an entry": `
cluster: east
entry:
  enabled: true
  gatewayClass: {name: east-gate}
  secrets: {shop: [shop-tls, other-tls], web: [web-tls]}
  configMaps: {shop: [backend-ca], mtls: [client-ca]}
  service: {type: NodePort, externalTrafficPolicy: Cluster, loadBalancerClass: l}
  trusted: [192.0.2.0/24, "2001:db8::/32"]
  autoscaling:
    enabled: true
    metrics: [{type: Pods, pods: {metric: {name: eastway_entry_requests_in_flight}, target: {type: AverageValue, averageValue: "100"}}}]
  podLabels: {c: d}
  extraArgs: [--max-connections=1000]
networkPolicy: {enabled: true}
monitoring: {podMonitor: {enabled: true}}
`,
		"node ports, QUIC only": `
cluster: east
tunnel: {transports: [quic], service: {type: NodePort, externalTrafficPolicy: Local, nodePorts: {udp: 30443}}}
listenerPorts: 40000-40999
networkPolicy: {enabled: true}
`,
	}
}

func TestInvariants(t *testing.T) {
	t.Parallel()
	for name, values := range valueSets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := render(t, values)
			r.checkNames(t)
			r.checkSelectors(t)
			r.checkServices(t)
			r.checkBudgets(t)
			r.checkDrain(t)
			r.checkPods(t)
			r.checkRights(t)
		})
	}
}

func clusterScoped(kind string) bool {
	return kind == "GatewayClass" || strings.HasPrefix(kind, "ClusterRole") || strings.HasPrefix(kind, "ValidatingAdmissionPolicy")
}

func (r *rendered) checkNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, o := range r.all {
		kind := r.kinds[o]
		id := kind + " " + o.GetName() + " " + o.GetNamespace()
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if wrong := validation.IsDNS1123Label(o.GetName()); len(wrong) > 0 || !strings.HasPrefix(o.GetName(), release) {
			t.Errorf("%s: not a name of this release: %v", id, wrong)
		}
		want := map[bool]string{false: namespace}[clusterScoped(kind)]
		if strings.HasSuffix(o.GetName(), "-entry-reads") {
			want = o.GetNamespace() // where what it reads is
		}
		if o.GetNamespace() != want {
			t.Errorf("%s is in the namespace %q, want %q", id, o.GetNamespace(), want)
		}
		l := o.GetLabels()
		if l["app.kubernetes.io/name"] != "eastway" || l["app.kubernetes.io/instance"] != release || l[componentLabel] == "" {
			t.Errorf("%s has the labels %v", id, l)
		}
		for key, value := range l {
			if wrong := validation.IsValidLabelValue(value); len(wrong) > 0 {
				t.Errorf("%s: label %s: %v", id, key, wrong)
			}
		}
	}
}

// Selectors match exactly the pods of their component, and name nothing that an upgrade changes.
func (r *rendered) checkSelectors(t *testing.T) {
	for component, w := range r.workloads {
		if w.selector == nil {
			continue
		}
		if got := r.selected(w.selector); !slices.Equal(got, []string{component}) || len(w.selector) != 3 {
			t.Errorf("%s %s selects %v by %v", w.kind, w.name, got, w.selector)
		}
		for _, c := range w.spec.TopologySpreadConstraints {
			if c.LabelSelector != nil && !slices.Equal(r.selected(c.LabelSelector.MatchLabels), []string{component}) {
				t.Errorf("%s %s spreads by %v", w.kind, w.name, c.LabelSelector)
			}
		}
	}
	for name, policy := range named[*networkingv1.NetworkPolicy](r) {
		if got := r.selected(policy.Spec.PodSelector.MatchLabels); !slices.Equal(got, []string{name}) {
			t.Errorf("NetworkPolicy %s selects %v", name, got)
		}
	}
	for name, hpa := range named[*autoscalingv2.HorizontalPodAutoscaler](r) {
		w, target := r.workloads[name], hpa.Spec.ScaleTargetRef
		if w == nil || target.Name != w.name || target.Kind != w.kind {
			t.Errorf("HorizontalPodAutoscaler %s scales %v", name, target)
		}
	}
}

// port finds what a named or numbered port of the component's containers is.
func (r *rendered) port(component string, port intstr.IntOrString) (corev1.ContainerPort, bool) {
	containers := r.workloads[component].spec.Containers
	for i := range containers {
		for _, p := range containers[i].Ports {
			if p.Name == port.StrVal && port.Type == intstr.String || p.ContainerPort == port.IntVal && port.Type == intstr.Int {
				return p, true
			}
		}
	}
	return corev1.ContainerPort{}, false
}

func (r *rendered) checkServices(t *testing.T) {
	for name, service := range named[*corev1.Service](r) {
		component := "proxy"
		if name == "entry" {
			component = name
		}
		if got := r.selected(service.Spec.Selector); !slices.Equal(got, []string{component}) {
			t.Errorf("Service %s selects %v", name, got)
		}
		if len(service.Spec.Ports) == 0 {
			t.Errorf("Service %s has no port", name)
		}
		for _, p := range service.Spec.Ports {
			if target, found := r.port(component, p.TargetPort); !found || target.Protocol != p.Protocol {
				t.Errorf("Service %s: port %s leads to %v/%s, which the proxy does not have", name, p.Name, &p.TargetPort, p.Protocol)
			}
		}
	}
	for component, w := range r.workloads {
		for _, probe := range []*corev1.Probe{
			w.spec.Containers[0].StartupProbe, w.spec.Containers[0].LivenessProbe, w.spec.Containers[0].ReadinessProbe,
		} {
			if w.kind == "Pod" {
				continue // it runs once
			}
			if probe == nil {
				t.Errorf("%s has not all probes", component)
				continue
			}
			if _, found := r.port(component, probe.HTTPGet.Port); !found {
				t.Errorf("%s: its probe's port %v does not exist", component, probe.HTTPGet.Port)
			}
		}
	}
	if proxies := named[*corev1.Service](r)["proxies"]; proxies == nil || proxies.Spec.ClusterIP != corev1.ClusterIPNone ||
		!proxies.Spec.PublishNotReadyAddresses {
		t.Error("the Service of the proxies is not headless, or hides those that drain")
	}
}

// What is replicated has a budget that a node drain can fit into.
func (r *rendered) checkBudgets(t *testing.T) {
	budgets := named[*policyv1.PodDisruptionBudget](r)
	components := []string{"controller", "proxy"}
	if r.workloads["entry"] != nil {
		components = append(components, "entry")
	}
	for _, component := range components {
		b := budgets[component]
		if b == nil || b.Spec.MaxUnavailable == nil || !slices.Equal(r.selected(b.Spec.Selector.MatchLabels), []string{component}) {
			t.Errorf("the budget of %s is %+v", component, b)
		}
	}
}

// A proxy is not killed while it drains, and neither is an entry.
func (r *rendered) checkDrain(t *testing.T) {
	r.checkGrace(t, "proxy")
	if r.workloads["entry"] != nil {
		r.checkGrace(t, "entry")
	}
}

func (r *rendered) checkGrace(t *testing.T, component string) {
	t.Helper()
	flags := r.args(component)
	var sum int64
	for _, name := range []string{"drain-delay", "drain-timeout"} {
		d, err := time.ParseDuration(flags[name][0])
		if err != nil {
			t.Fatalf("--%s: %v", name, err)
		}
		sum += int64(d.Seconds())
	}
	if grace := r.workloads[component].spec.TerminationGracePeriodSeconds; grace == nil || *grace <= sum {
		t.Errorf("%s: terminationGracePeriodSeconds is %v, draining takes up to %d s", component, grace, sum)
	}
}
