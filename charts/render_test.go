package charts

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// A proxy's connections to endpoints have all ports but those that it listens on, and those that it listens on later.
func TestLocalPorts(t *testing.T) {
	t.Parallel()
	const (
		portRange = "net.ipv4.ip_local_port_range=1024 65535"
		reserved  = "net.ipv4.ip_local_reserved_ports=15000,15020,15024,15443,20000-29999"
		own       = `{name: net.ipv4.ip_local_reserved_ports, value: "8080"}`
	)
	for values, want := range map[string][]string{
		`cluster: east`: {portRange, reserved},
		`{cluster: east, listenerPorts: 40000-40999}`: {portRange, "net.ipv4.ip_local_reserved_ports=15000,15020,15024,15443,40000-40999"},
		`{cluster: east, proxy: {sysctls: [{name: net.ipv4.ip_local_port_range, value: "16000 65535"}]}}`: {
			"net.ipv4.ip_local_port_range=16000 65535", reserved,
		},
		`{cluster: east, proxy: {sysctls: [` + own + `]}}`: {"net.ipv4.ip_local_reserved_ports=8080"},
		`{cluster: east, proxy: {wideLocalPorts: false}}`:  nil,
	} {
		var got []string
		for _, s := range render(t, values).workloads["proxy"].spec.SecurityContext.Sysctls {
			got = append(got, s.Name+"="+s.Value)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", values, got, want)
		}
	}
}

// A name is enough, and this is what it gives.
func TestDefaults(t *testing.T) {
	t.Parallel()
	r := render(t, `cluster: east`)
	want := map[string]string{
		"controller-controller": "Deployment", "proxy-proxy": "Deployment", "node-node": "DaemonSet", "test-test": "Pod",
	}
	got := make(map[string]string)
	for component, w := range r.workloads {
		got[component+"-"+strings.TrimPrefix(w.name, release+"-")] = w.kind
	}
	if !maps.Equal(got, want) {
		t.Errorf("workloads %v, want %v", got, want)
	}
	if services := slices.Sorted(maps.Keys(named[*corev1.Service](r))); !slices.Equal(services, []string{"proxies", "tunnel"}) {
		t.Errorf("services %v", services)
	}
	for component, flags := range map[string]map[string][]string{
		"proxy": {
			"cluster": {"east"}, "namespace": {namespace}, "node-name": {"$(NODE_NAME)"}, "listen": {":15443"}, "health": {":15020"},
			"agents": {":15024"}, "health-listeners": nil,
		},
		"controller": {
			"cluster": {"east"}, "namespace": {namespace}, "tunnel-service": {release + "-tunnel"}, "proxies-service": {release + "-proxies"},
			"listener-ports": {"20000-29999"}, "health": {":15021"}, "trust-domain": nil, "public-address": nil,
			"release": {release}, "owner-cluster-role": {release + "-controller"},
		},
		"test": {"release": {release}},
		"node": {
			"cluster": {"east"}, "svid": {"/var/run/eastway/svid"}, "namespace": {namespace}, "node-name": {"$(NODE_NAME)"},
			"proxies-service": {release + "-proxies"}, "health": {":15022"},
		},
	} {
		args := r.args(component)
		for name, value := range flags {
			if !slices.Equal(args[name], value) {
				t.Errorf("%s --%s is %q, want %q", component, name, args[name], value)
			}
		}
	}
	for _, kind := range []string{"NetworkPolicy", "HorizontalPodAutoscaler", "PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap"} {
		if slices.Contains(slices.Collect(maps.Values(r.kinds)), kind) {
			t.Errorf("there is a %s that no value enables", kind)
		}
	}
}

// An upgrade of the chart or the image alone must restart only what it changes.
func TestPodsNameNoVersion(t *testing.T) {
	t.Parallel()
	for component, w := range render(t, `cluster: east`).workloads {
		if _, found := w.labels["helm.sh/chart"]; found && w.kind != "Pod" {
			t.Errorf("%s: %v", component, w.labels)
		}
	}
}

func TestTunnelServices(t *testing.T) {
	t.Parallel()
	type port struct {
		protocol corev1.Protocol
		node     int32
	}
	tests := map[string]struct {
		values string
		want   map[string][]port
	}{
		"one":           {`{}`, map[string][]port{"tunnel": {{"TCP", 0}, {"UDP", 0}}}},
		"none":          {`{service: {enabled: false}}`, nil},
		"split":         {`{service: {split: true}}`, map[string][]port{"tunnel-tcp": {{"TCP", 0}}, "tunnel-udp": {{"UDP", 0}}}},
		"split, no UDP": {`{transports: [tcp], service: {split: true}}`, map[string][]port{"tunnel-tcp": {{"TCP", 0}}}},
		"no TCP":        {`{transports: [quic]}`, map[string][]port{"tunnel": {{"UDP", 0}}}},
		"node ports": {
			`{service: {type: NodePort, nodePorts: {tcp: 30443, udp: 30443}}}`, map[string][]port{"tunnel": {{"TCP", 30443}, {"UDP", 30443}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := render(t, "{cluster: east, tunnel: "+test.values+"}")
			services := named[*corev1.Service](r)
			delete(services, "proxies")
			got := make(map[string][]port)
			for name, s := range services {
				for _, p := range s.Spec.Ports {
					got[name] = append(got[name], port{p.Protocol, p.NodePort})
				}
			}
			if !maps.EqualFunc(got, test.want, slices.Equal) {
				t.Errorf("services %v, want %v", got, test.want)
			}
			// The controller learns the addresses from exactly these.
			var told []string
			for _, full := range r.args("controller")["tunnel-service"] {
				told = append(told, strings.TrimPrefix(full, release+"-"))
			}
			if want := slices.Sorted(maps.Keys(test.want)); !slices.Equal(told, want) {
				t.Errorf("the controller is told of %v, want %v", told, want)
			}
		})
	}
}

func TestEverythingArrives(t *testing.T) {
	t.Parallel()
	r := render(t, valueSets()["everything"])
	services := named[*corev1.Service](r)
	if a := services["tunnel-tcp"].Annotations["a"]; a != "tcp" {
		t.Errorf("tunnel-tcp is annotated with %q: its own annotation wins", a)
	}
	if a := services["tunnel-udp"].Annotations["a"]; a != "b" {
		t.Errorf("tunnel-udp is annotated with %q", a)
	}
	if args := r.args("controller")["public-address"]; !slices.Equal(args, []string{"203.0.113.1:15443", "[2001:db8::1]:443"}) {
		t.Errorf("public addresses %q", args)
	}
	proxy := named[*appsv1.Deployment](r)["proxy"]
	if proxy.Spec.Replicas != nil {
		t.Error("replicas are set although the autoscaler sets them: every upgrade would undo what it did")
	}
	pod := proxy.Spec.Template
	if len(pod.Spec.TopologySpreadConstraints) != 3 || len(pod.Spec.SecurityContext.Sysctls) != 3 || pod.Labels["c"] != "d" ||
		pod.Annotations["a"] != "b" || pod.Spec.PriorityClassName != "high" || pod.Spec.NodeSelector["pool"] != "edge" ||
		len(pod.Spec.Tolerations) != 1 || pod.Spec.Affinity == nil || len(pod.Spec.ImagePullSecrets) != 1 {
		t.Errorf("pods of the proxy: %+v", pod)
	}
	for _, o := range r.all {
		if o.GetLabels()["team"] != "network" {
			t.Errorf("%s %s lacks the common label", r.kinds[o], o.GetName())
		}
	}
	if from := named[*networkingv1.NetworkPolicy](r)["controller"].Spec.Ingress[0].From; len(from) != 1 {
		t.Errorf("the controller's metrics are read by %v", from)
	}
}

// What is set of the autoscaler's behavior is merged with what the chart has, and lists are replaced.
func TestAutoscaler(t *testing.T) {
	t.Parallel()
	const all = `, minReplicas: 3, maxReplicas: 5, targetCPUUtilizationPercentage: 40,
  behavior: {scaleDown: {stabilizationWindowSeconds: 0, policies: [{type: Pods, value: 2, periodSeconds: 15}]}}`
	for name, test := range map[string]struct {
		values                      string
		fewest, most, usage, window int32
		policies                    []autoscalingv2.HPAScalingPolicy
	}{
		"as it comes": {"", 2, 10, 70, 300, []autoscalingv2.HPAScalingPolicy{{Type: "Pods", Value: 1, PeriodSeconds: 60}}},
		"all set": {
			all, 3, 5, 40, 0, []autoscalingv2.HPAScalingPolicy{{Type: "Pods", Value: 2, PeriodSeconds: 15}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := render(t, "{cluster: east, proxy: {autoscaling: {enabled: true"+test.values+"}}}")
			hpa := named[*autoscalingv2.HorizontalPodAutoscaler](r)["proxy"]
			if hpa == nil {
				t.Fatal("there is none")
			}
			s := hpa.Spec
			if *s.MinReplicas != test.fewest || s.MaxReplicas != test.most {
				t.Errorf("%d to %d replicas, want %d to %d", *s.MinReplicas, s.MaxReplicas, test.fewest, test.most)
			}
			if len(s.Metrics) != 1 {
				t.Fatalf("metrics %+v, want one", s.Metrics)
			}
			if cpu := s.Metrics[0].Resource; cpu.Name != corev1.ResourceCPU || *cpu.Target.AverageUtilization != test.usage {
				t.Errorf("metrics %+v, want CPU at %d %%", s.Metrics, test.usage)
			}
			down := s.Behavior.ScaleDown
			if *down.StabilizationWindowSeconds != test.window || !slices.Equal(down.Policies, test.policies) {
				t.Errorf("it scales in by %+v, want %d s and %+v", down, test.window, test.policies)
			}
			if request := r.workloads["proxy"].spec.Containers[0].Resources.Requests.Cpu(); request.IsZero() {
				t.Error("proxies request no CPU, of which the target is a percentage")
			}
		})
	}
}

func TestPrivateSite(t *testing.T) {
	t.Parallel()
	r := render(t, valueSets()["a private site"])
	pod := r.workloads["proxy"].spec
	if image := pod.Containers[0].Image; !strings.HasPrefix(image, "example.org/eastway@sha256:01") {
		t.Errorf("image %s", image)
	}
	if c := pod.TopologySpreadConstraints; len(c) != 1 || c[0].WhenUnsatisfiable != corev1.DoNotSchedule {
		t.Errorf("spread %+v", c)
	}
	if *pod.TerminationGracePeriodSeconds != 610 {
		t.Errorf("grace %d s", *pod.TerminationGracePeriodSeconds)
	}
	if log := r.args("proxy")["access-log"]; !slices.Equal(log, []string{""}) {
		t.Errorf("access log %q", log)
	}
	if _, found := r.workloads["node"]; found || strings.Contains(r.text, "NET_ADMIN") {
		t.Error("the node agent is there, or something that only it needs")
	}
}

func TestListenerPortsAreOpen(t *testing.T) {
	t.Parallel()
	policy := named[*networkingv1.NetworkPolicy](render(t, valueSets()["node ports, QUIC only"]))["proxy"]
	for _, p := range policy.Spec.Ingress[0].Ports {
		if p.Port.IntVal == 40000 && p.EndPort != nil && *p.EndPort == 40999 {
			return
		}
	}
	t.Errorf("the policy does not open 40000-40999: %+v", policy.Spec.Ingress)
}

// Name servers answer from outside, also while the proxy beside them does not.
func TestNameServers(t *testing.T) {
	t.Parallel()
	r := render(t, valueSets()["name servers"])
	s := named[*corev1.Service](r)["dns"]
	if s == nil || s.Spec.Type != corev1.ServiceTypeLoadBalancer || s.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal ||
		!s.Spec.PublishNotReadyAddresses || len(s.Spec.Ports) != 2 || s.Spec.Ports[0].Port != 53 || s.Spec.Ports[0].NodePort != 30053 {
		t.Errorf("Service %+v", s)
	}
	if c := named[*corev1.ConfigMap](r)["dns"]; c == nil || len(c.Data) != 2 {
		t.Errorf("ConfigMap %+v", c)
	}
	reserved := ""
	for _, sysctl := range r.workloads["proxy"].spec.SecurityContext.Sysctls {
		if sysctl.Name == "net.ipv4.ip_local_reserved_ports" {
			reserved = sysctl.Value
		}
	}
	if !strings.HasPrefix(reserved, "15000,15020,15024,15443,5353,15053,15054,") {
		t.Errorf("a call may take the port of a name server: %q are reserved", reserved)
	}
	if c := r.workloads["proxy"].spec.Containers[1]; c.ReadinessProbe != nil {
		t.Error("a name server that is not ready takes calls from its proxy")
	}
	open := map[string]bool{}
	for _, p := range named[*networkingv1.NetworkPolicy](r)["proxy"].Spec.Ingress[0].Ports {
		open[fmt.Sprintf("%s %v", *p.Protocol, p.Port)] = true
	}
	if !open["UDP 5353"] || !open["TCP 5353"] {
		t.Errorf("the NetworkPolicy opens %v", open)
	}
	own := render(t, `{cluster: east, nameServer: {enabled: true, configMap: names}}`)
	if v := own.workloads["proxy"].spec.Volumes[0].ConfigMap; v == nil || v.Name != "names" || named[*corev1.ConfigMap](own)["dns"] != nil {
		t.Errorf("with a ConfigMap of the user's own: %+v", v)
	}
	if off := render(t, `cluster: east`); len(off.workloads["proxy"].spec.Containers) != 1 || named[*corev1.Service](off)["dns"] != nil {
		t.Error("there are name servers that no value asks for")
	}
}

// A Secret that an ExternalService may name is where the proxies look for it.
func TestExternalCredentials(t *testing.T) {
	t.Parallel()
	spec := render(t, valueSets()["everything"]).workloads["proxy"].spec
	secrets := map[string]string{}
	for _, v := range spec.Volumes {
		if v.Secret != nil && v.Secret.Optional != nil && *v.Secret.Optional {
			secrets[v.Name] = v.Secret.SecretName
		}
	}
	found := map[string]bool{}
	for _, m := range spec.Containers[0].VolumeMounts {
		if name, is := secrets[m.Name]; is {
			found[name] = true
			ca, _, _ := (&v1alpha1.ClientTLS{Mode: v1alpha1.TLSSimple, CredentialName: name}).Files()
			if filepath.Dir(ca) != m.MountPath {
				t.Errorf("%s is mounted at %s, and looked for at %s", name, m.MountPath, ca)
			}
		}
	}
	if !found["mydb"] || !found["partner.api"] {
		t.Errorf("mounted: %v", found)
	}
}

// With a NetworkPolicy, what runs in a proxy or the controller reaches everything but link-local addresses, where clouds give out
// credentials; and a DNS server on the node, which has such an address.
func TestEgress(t *testing.T) {
	t.Parallel()
	policies := named[*networkingv1.NetworkPolicy](render(t, `{cluster: east, networkPolicy: {enabled: true}}`))
	if len(policies) != 2 {
		t.Errorf("%d policies, want those of the proxies and of the controller", len(policies))
	}
	for component, policy := range policies {
		rules := policy.Spec.Egress
		if !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) || len(rules) != 2 {
			t.Fatalf("%s: %+v", component, policy.Spec)
		}
		dns, rest := rules[0], rules[1]
		if len(dns.To) > 0 || len(dns.Ports) != 2 || dns.Ports[0].Port.IntVal != 53 || dns.Ports[1].Port.IntVal != 53 {
			t.Errorf("%s: DNS: %+v", component, dns)
		}
		if len(rest.Ports) > 0 || len(rest.To) != 3 || !slices.Contains(rest.To[1].IPBlock.Except, "169.254.0.0/16") ||
			!slices.Contains(rest.To[2].IPBlock.Except, "fe80::/10") {
			t.Errorf("%s: %+v", component, rest)
		}
	}
	open := `{cluster: east, networkPolicy: {enabled: true, egress: {enabled: false}}}`
	for component, policy := range named[*networkingv1.NetworkPolicy](render(t, open)) {
		if slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) || len(policy.Spec.Egress) > 0 {
			t.Errorf("%s: %+v", component, policy.Spec)
		}
	}
}

// NOTES.txt is all that the operator sees. Without a cluster helm does not show it, so here it becomes an object.
func TestNotes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "templates", "NOTES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	object := `{{- define "notes" }}` + string(text) + `{{ end -}}` + "\nkind: Notes\ntext: {{ include \"notes\" . | toJson }}\n"
	if err := os.WriteFile(filepath.Join(dir, "templates", "notes.yaml"), []byte(object), 0o600); err != nil {
		t.Fatal(err)
	}
	notes := func(values string) string {
		out, problems, err := helm(t, values, "template", release, dir, "--namespace", namespace, "--kube-version", kubeVersion,
			"--show-only", "templates/notes.yaml", "--values", "-")
		if err != nil {
			t.Fatalf("%v\n%s", err, problems)
		}
		var shown struct{ Text string }
		if err := yaml.Unmarshal([]byte(out), &shown); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		return shown.Text
	}
	public := notes(`cluster: east`)
	for _, want := range []string{
		"eastway peer export -n tunnels --release east-gate > east.yaml", "eastway peer link --contexts THIS,OTHER -n tunnels --release east-gate\n",
		"multicluster clusterset.local", "eastway check -n tunnels --release east-gate\n",
		"eastway takeover SERVICE --eastway-namespace tunnels --release east-gate`", "helm uninstall east-gate -n tunnels",
		"-n " + namespace + " rollout status deployment/" + release + "-proxy", "app.kubernetes.io/instance=" + release,
	} {
		if !strings.Contains(public, want) {
			t.Errorf("NOTES lack %q:\n%s", want, public)
		}
	}
	if private := notes(valueSets()["a private site"]); !strings.Contains(private, "no tunnel Service") ||
		!strings.Contains(private, "node.enabled") {
		t.Errorf("NOTES of a private site:\n%s", private)
	}
}

// Node agents find the proxies' listener for them by its name, prove themselves there, and are let through; without agents there is none.
func TestListenerForNodeAgents(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		values           string
		agents, optional bool
	}{
		"by default":              {``, true, false},
		"agents of before":        {`proxy: {healthListeners: true}`, true, true},
		"no agents":               {`node: {enabled: false}`, false, false},
		"no agents, but the flag": {`node: {enabled: false}, proxy: {healthListeners: true}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := render(t, "{cluster: east, networkPolicy: {enabled: true}, "+tt.values+"}")
			_, tells := r.args("proxy")["health-listeners"]
			if got := r.args("proxy")["agents"] != nil; got != tt.agents || tells != tt.optional {
				t.Errorf("--agents %t, --health-listeners %t", got, tells)
			}
			ports := map[string]int32{}
			for _, p := range r.workloads["proxy"].spec.Containers[0].Ports {
				ports[p.Name] = p.ContainerPort
			}
			served := slices.IndexFunc(named[*corev1.Service](r)["proxies"].Spec.Ports, func(p corev1.ServicePort) bool {
				return p.Name == "agents" && p.TargetPort.StrVal == "agents" && p.Port == ports["agents"]
			})
			allowed := slices.ContainsFunc(named[*networkingv1.NetworkPolicy](r)["proxy"].Spec.Ingress[0].Ports,
				func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == 15024 })
			if (ports["agents"] == 15024) != tt.agents || (served >= 0) != tt.agents || allowed != tt.agents {
				t.Errorf("container ports %v, in the Service at %d, in the NetworkPolicy %t", ports, served, allowed)
			}
			if !tt.agents {
				return
			}
			for _, v := range r.workloads["node"].spec.Volumes {
				if v.Secret != nil && (*v.Secret.Optional != tt.optional || *v.Secret.DefaultMode != 0o400) {
					t.Errorf("the certificate: %+v", v.Secret)
				}
			}
		})
	}
}
