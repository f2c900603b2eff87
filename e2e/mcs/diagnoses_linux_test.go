package mcs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/install"
)

// diagnoses are all faults; docs/troubleshooting.md has a table of them.
func diagnoses() []diagnosis {
	return slices.Concat(installationFaults(), peerFaults(), serviceFaults(), nodeFaults())
}

// Parts of templates.
const (
	newTemplate = `{"metadata":{"annotations":{"eastway.test/new":"yes"}}}`
	nowhere     = `{"spec":{"nodeSelector":{"eastway.test/nowhere":"yes"}}}`
)

func image(container, name string) string {
	return fmt.Sprintf(`{"spec":{"containers":[{"name":%q,"image":%q}]}}`, container, name)
}

// takenOver is the Service with the annotation.
var takenOver = strings.ReplaceAll(helloService, "namespace: NAMESPACE}", `namespace: NAMESPACE, annotations: {eastway.dev/takeover: "true"}}`)

func installationFaults() []diagnosis {
	return []diagnosis{
		{
			fault: "the API server does not answer", check: "API server",
			inject: (*injection).deadServer,
			says:   []string{"cannot be reached"}, do: []string{"is the --context right, is the cluster up?"},
		},
		{
			fault: "a CRD is missing", check: "CRDs of Eastway",
			inject: func(i *injection) {
				bringBack := i.away(i.first, "trafficpolicies.eastway.dev")
				i.undo = append(i.undo, func(context.Context) error { return bringBack() })
			},
			says: []string{"lacks trafficpolicies"}, do: []string{applyKinds},
		},
		{
			fault: "the controller is scaled to 0", check: "controller",
			inject: func(i *injection) { i.ofRelease(deployments, "controller", `{"spec":{"replicas":0}}`) },
			says:   []string{"Deployment eastway-controller is scaled to 0"}, do: []string{"scale deployment/eastway-controller --replicas=2"},
		},
		{
			fault: "the image of the controller cannot be pulled", check: "controller",
			inject: func(i *injection) { i.strategic(deployments, "controller", image("controller", "eastway.test/none:1")) },
			says:   []string{"pod eastway-controller-", "ImagePull"}, do: []string{"describe pod eastway-controller-"},
		},
		{
			fault: "proxies do not start: a flag is wrong", check: "proxies",
			inject: func(i *injection) {
				i.strategic(deployments, "proxy", `{"spec":{"containers":[{"name":"proxy","args":["proxy","--no-such-flag"]}]}}`)
			},
			says: []string{"pod eastway-proxy-", "CrashLoopBackOff"}, do: []string{"logs eastway-proxy-"},
		},
		{
			fault: "proxies are scaled to 0", check: "proxies",
			inject: func(i *injection) { i.ofRelease(deployments, "proxy", `{"spec":{"replicas":0}}`) },
			says:   []string{"Deployment eastway-proxy is scaled to 0"}, do: []string{"scale deployment/eastway-proxy --replicas=2"},
		},
		{
			fault: "a ResourceQuota refuses new proxies in a rollout", check: "proxies",
			inject: func(i *injection) {
				i.add(i.first, fmt.Sprintf(`{apiVersion: v1, kind: ResourceQuota, metadata: {name: fault, namespace: %s}, spec: {hard: {pods: 1}}}`,
					install.Namespace))
				i.ofRelease(deployments, "proxy", templateOf(newTemplate))
			},
			says: []string{"pods are of its present template", "exceeded quota: fault"},
			do:   []string{"describe resourcequota"},
		},
		{
			fault: "an admission policy or webhook refuses new pods", check: "proxies",
			inject: func(i *injection) {
				i.add(i.first, fmt.Sprintf(`---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: eastway-test-fault}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  validations: [{expression: "false", message: "no pods today"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: eastway-test-fault}
spec:
  policyName: eastway-test-fault
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}
`, install.Namespace))
				i.awaitRefusal()
				i.ofRelease(deployments, "proxy", templateOf(newTemplate))
			},
			says: []string{"pods are of its present template", "no pods today"}, do: []string{"have that webhook or policy admit the pods"},
		},
		{
			fault: "no node takes new proxies: a nodeSelector", check: "proxies",
			inject: func(i *injection) { i.ofRelease(deployments, "proxy", templateOf(nowhere)) },
			says:   []string{"pod eastway-proxy-", "node affinity/selector"}, do: []string{"describe pod eastway-proxy-"},
		},
		{
			fault: "no node has room for new proxies", check: "proxies",
			inject: func(i *injection) {
				i.strategic(deployments, "proxy", `{"spec":{"containers":[{"name":"proxy","resources":{"requests":{"cpu":"900"},"limits":null}}]}}`)
			},
			says: []string{"pod eastway-proxy-", "Insufficient cpu"}, do: []string{"describe pod eastway-proxy-"},
		},
		{
			fault: "the proxies' role is not bound", check: "rights",
			inject: func(i *injection) { i.remove(bindings, "", "eastway-proxy") },
			says:   []string{"proxies (service account eastway-proxy) is not allowed to list/watch"},
			do:     []string{"role eastway-proxy", "helm upgrade"},
		},
		{
			fault: "the controller's role is not bound", check: "rights",
			inject: func(i *injection) { i.remove(bindings, "", "eastway-controller") },
			says:   []string{"the controller", "is not allowed to"}, do: []string{"role eastway-controller", "helm upgrade"},
		},
		{
			fault: "the node agents' role is not bound", check: "rights",
			inject: func(i *injection) { i.remove(bindings, "", "eastway-node") },
			says:   []string{"node agents", "is not allowed to"}, do: []string{"role eastway-node", "helm upgrade"},
		},
		{
			fault: "the tunnel Service was deleted", check: "own manifest",
			inject: func(i *injection) { i.remove("Service", install.Namespace, "eastway-tunnel") },
			says:   []string{"it has no public address"}, do: []string{"has the tunnel Service an address"},
		},
		{
			fault: "the ConfigMap with the own manifest was deleted", check: "own manifest",
			inject: func(i *injection) {
				i.ofRelease(deployments, "controller", `{"spec":{"replicas":0}}`) // it would write it again
				i.remove("ConfigMap", install.Namespace, "eastway-cluster")
			},
			says: []string{"there is no ConfigMap eastway-cluster"}, do: []string{"component=controller"},
		},
		{
			fault: "the Secret of the CA was deleted", check: "CA",
			inject: func(i *injection) { i.remove("Secret", install.Namespace, "eastway-ca") },
			says:   []string{"the Secret of the CA is gone", "eastway-ca"},
			do:     []string{"restore it from a backup at once", "delete secret/eastway-svid configmap/eastway-cluster"},
		},
		{
			fault: "the Secret of the CA is broken", check: "CA",
			inject: func(i *injection) { i.patch("Secret", install.Namespace, "eastway-ca", `{"data":{"tls.crt":"eA=="}}`) },
			says:   []string{"the CA in Secret eastway-system/eastway-ca cannot be used"}, do: []string{"restore the Secret"},
		},
		{
			fault: "a peer was linked before the CA was replaced", check: "CA",
			inject: func(i *injection) {
				i.patch(peersKind, "", i.second.Name, `{"metadata":{"annotations":{"eastway.dev/roots-given":"0011223344556677"}}}`)
			},
			says: []string{"was linked with none of this cluster's present roots"}, do: []string{"eastway peer link --contexts THIS,cluster-2"},
		},
	}
}

func peerFaults() []diagnosis {
	return []diagnosis{
		{
			fault: "there is no peer yet", check: "peers",
			inject: func(i *injection) { i.remove(peersKind, "", i.second.Name) },
			says:   []string{"there are no peers yet"}, do: []string{"eastway peer link --contexts THIS,OTHER"},
		},
		{
			fault: "the peer has removed this cluster", check: "peers",
			inject: func(i *injection) { i.removeIn(i.second, peersKind, "", i.first.Name) },
			says:   []string{"peer cluster-2 is not trusted"}, do: []string{"eastway peer link --contexts A,B renews both"},
		},
		{
			fault: "the Peer has the trust bundle of another CA", check: "peers",
			inject: func(i *injection) {
				other := i.manifest(i.second.Name, i.second.Name+".eastway.internal")
				i.patch(peersKind, "", i.second.Name, i.json(map[string]any{"spec": map[string]any{"trustBundle": other.Spec.TrustBundle}}))
			},
			says: []string{"peer cluster-2 is not trusted"}, do: []string{"eastway peer link --contexts A,B renews both"},
		},
		{
			fault: "the trust bundle of the Peer is no PEM", check: "peers",
			inject: func(i *injection) { i.patch(peersKind, "", i.second.Name, `{"spec":{"trustBundle":"none"}}`) },
			says:   []string{"peer cluster-2 is not accepted", "spec.trustBundle"},
			do:     []string{"eastway peer export there, eastway peer import here"},
		},
		{
			fault: "the Peer denies the peer's identity", check: "peers",
			inject: func(i *injection) {
				i.patch(peersKind, "", i.second.Name, i.json(map[string]any{"spec": map[string]any{
					"denied": []map[string]string{{"spiffeID": "spiffe://cluster-2.eastway.internal/eastway/cluster/cluster-2"}},
				}}))
			},
			says: []string{"peer cluster-2 is not", "denied"}, do: []string{"spec.denied"},
		},
		{
			fault: "the peer exports more than its quota", check: "peers",
			inject: func(i *injection) {
				i.exported()
				i.add(i.second, strings.ReplaceAll(helloService+helloExport, "name: SERVICE", "name: SERVICE-too"))
				i.patch(peersKind, "", i.second.Name, `{"spec":{"quota":{"services":1}}}`)
			},
			says: []string{"exports more than its quota"}, do: []string{"quota"},
		},
		{
			fault: "a firewall drops UDP", check: "QUIC",
			inject: func(i *injection) { i.drop("udp") },
			says:   []string{"no QUIC lane from eastway-proxy-"}, do: []string{"is UDP blocked"},
		},
		{
			fault: "a firewall drops TCP", check: "TCP",
			inject: func(i *injection) { i.drop("tcp") },
			says:   []string{"no TCP lane from eastway-proxy-"}, do: []string{"is TCP blocked"},
		},
		{
			fault: "a firewall drops everything", check: "peers",
			inject: func(i *injection) { i.drop("{ tcp, udp }") },
			says:   []string{"peer cluster-2 is not connected"}, do: []string{"reachable from this cluster's nodes, on TCP and UDP?"},
		},
	}
}

func serviceFaults() []diagnosis {
	return []diagnosis{
		{
			fault: "a ServiceExport without a Service", check: "exports",
			inject: func(i *injection) { i.add(i.first, helloExport) },
			says:   []string{"is not exported"}, do: []string{"make the Service, or remove the export"},
		},
		{
			fault: "a ServiceExport of an ExternalName", check: "exports",
			inject: func(i *injection) {
				i.add(i.first, helloExport+`---
apiVersion: v1
kind: Service
metadata: {name: SERVICE, namespace: NAMESPACE}
spec: {type: ExternalName, externalName: eastway.test}
`)
			},
			says: []string{"is not exported", "ExternalName"}, do: []string{"describe serviceexport"},
		},
		{
			fault: "clusters export a service with different ports", check: "exports",
			inject: func(i *injection) {
				i.exported()
				i.add(i.first, strings.ReplaceAll(helloService, "port: 4242,", "port: 4243,")+helloExport)
			},
			says: []string{"differently"}, do: []string{"make the Services the same"},
		},
		{
			fault: "the service is not exported", call: true, check: "call",
			inject: func(i *injection) { i.add(i.first, helloService) },
			says:   []string{"is a Service of this cluster, and not imported: no cluster exports it"}, do: []string{"eastway export"},
		},
		{
			fault: "no cluster has the service", call: true, check: "call",
			inject: func(*injection) {},
			says:   []string{"no Service of that name here, and no cluster that is connected exports one"},
			do:     []string{"in the cluster that has it: eastway export"},
		},
		{
			fault: "the namespace is missing where the service is imported", call: true, check: "call",
			inject: func(i *injection) {
				i.namespace = "only-there"
				i.add(i.second, "{apiVersion: v1, kind: Namespace, metadata: {name: only-there}}\n"+helloService+helloExport)
			},
			says: []string{"cluster-2 exports only-there/", "this cluster has no namespace only-there"},
			do:   []string{"kubectl create namespace only-there"},
		},
		{
			fault: "the namespace exists nowhere", call: true, check: "call",
			inject: func(i *injection) { i.namespace = "not-anywhere" },
			says:   []string{"this cluster has no namespace not-anywhere"}, do: []string{"is the name right?"},
		},
		{
			fault: "a rule of the Peer leaves the service out", call: true, check: "call",
			inject: func(i *injection) {
				i.patch(peersKind, "", i.second.Name, i.json(map[string]any{"spec": map[string]any{
					"imports": map[string]any{"deny": []string{i.namespace + "/" + i.service}},
				}}))
				i.add(i.second, helloService+helloExport)
			},
			says: []string{"spec.imports.deny[0] of Peer cluster-2 leaves it out"}, do: []string{"change spec.imports of the Peer"},
		},
		{
			fault: "the port is wrong", call: true, check: "call",
			inject: func(i *injection) {
				i.exported()
				i.port = 80
			},
			says: []string{"has no TCP port 80"}, do: []string{"it has 4242"},
		},
		{
			fault: "no pod is behind the service", call: true, check: "call",
			inject: func(i *injection) { i.exported("app: hello", "app: nothing") },
			says:   []string{"no endpoint in cluster-2 is ready"}, do: []string{"there: kubectl", "get endpointslices"},
		},
		{
			fault: "the pods listen at another port", call: true, check: "call",
			inject: func(i *injection) { i.exported("targetPort: 4242", "targetPort: 4999") },
			says:   []string{"no endpoint of cluster-2 takes connections"}, do: []string{"do the pods listen at the Service's targetPort?"},
		},
		{
			fault: "the scope of a TrafficPolicy leaves all endpoints out", call: true, check: "call",
			inject: func(i *injection) {
				i.exported()
				i.add(i.first, helloPolicy+"  scope: cluster\n")
			},
			says: []string{"the TrafficPolicy's scope leaves out cluster-2"}, do: []string{"widen spec.scope"},
		},
		{
			fault: "all endpoints fail the health check of a TrafficPolicy", call: true, check: "call",
			inject: func(i *injection) {
				i.add(i.second, helloPolicy+"  healthCheck: {http: {path: /}, interval: 100ms, unhealthyThreshold: 1}\n")
				i.exported("targetPort: 4242", "targetPort: 4999")
			},
			says: []string{"no endpoint can take it"}, do: []string{"there: kubectl"},
		},
		{
			fault: "a TrafficPolicy is about no service", check: "policies",
			inject: func(i *injection) { i.add(i.first, helloPolicy) },
			says:   []string{"is not in use"}, do: []string{"correct spec.targetRef"},
		},
		{
			fault: "two TrafficPolicies are about the same service", check: "policies",
			inject: func(i *injection) {
				i.add(i.first, helloService+helloPolicy+strings.ReplaceAll(helloPolicy, "metadata: {name: SERVICE", "metadata: {name: SERVICE-too"))
			},
			says: []string{"is not in use"}, do: []string{"remove one of the two"},
		},
		{
			fault: "a TrafficPolicy has a wrong value", check: "policies",
			inject: func(i *injection) {
				i.add(i.first, helloService+helloPolicy+"  outlierDetection: {baseEjectionTime: 1ns}\n")
			},
			says: []string{"is not in use", "baseEjectionTime"}, do: []string{"docs/policy.md"},
		},
		{
			fault: "a locality in a TrafficPolicy is misspelled", check: "errors",
			inject: func(i *injection) {
				i.add(i.first, takenOver+helloPolicy+"  loadBalancer: {localityLbSetting: {failover: [{from: cn-hangzhuo, to: ap-northeast-1}]}}\n")
			},
			says: []string{"cn-hangzhuo", "check how it is spelled"}, do: nil,
		},
		{
			fault: "a NetworkPolicy keeps the proxies from the pods", check: "network policies",
			inject: func(i *injection) {
				i.add(i.first, helloService+helloExport+`---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: SERVICE, namespace: NAMESPACE}
spec: {podSelector: {matchLabels: {app: hello}}, ingress: [{from: [{podSelector: {}}]}]}
`)
			},
			says: []string{"does not allow ingress from the proxies to pods of"},
			do:   []string{"add to spec.ingress of", "- {from: [{namespaceSelector"},
		},
	}
}

func nodeFaults() []diagnosis {
	return []diagnosis{
		{
			fault: "CoreDNS does not serve clusterset.local", check: "clusterset.local",
			inject: func(i *injection) {
				i.patch("ConfigMap", "kube-system", "coredns", i.json(map[string]any{"data": map[string]string{
					"Corefile": ".:53 {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n }\n reload 1h\n}\n",
				}}))
			},
			says: []string{"the zone is missing"}, do: []string{"multicluster clusterset.local"},
		},
		{
			fault: "CoreDNS does not lead the host of an ExternalService to the proxies", check: "external names",
			inject: func(i *injection) {
				i.add(i.first, `---
apiVersion: eastway.dev/v1alpha1
kind: ExternalService
metadata: {name: SERVICE, namespace: NAMESPACE}
spec:
  hosts: [mydb.test]
  ports: [{number: 5432, name: sql}]
  endpoints: [{address: 192.0.2.1}]
`)
				i.programmed(&v1alpha1.ExternalService{})
			},
			says: []string{"callers of mydb.test do not reach"}, do: []string{"rewrite name exact mydb.test"},
		},
		{
			fault: "no DNS pod is ready", check: "lookup",
			inject: func(i *injection) {
				i.exported()
				i.patch(deployments, "kube-system", "coredns", `{"spec":{"replicas":0}}`)
			},
			says: []string{"no DNS pod is ready"}, do: []string{"kubectl -n kube-system get pods"},
		},
		{
			fault: "kube-proxy works in a mode with which takeover is not tested", check: "kube-proxy",
			inject: func(i *injection) {
				i.add(i.first, `apiVersion: v1
kind: ConfigMap
metadata: {name: kube-proxy, namespace: kube-system}
data: {config.conf: "mode: ipvs\n"}
`)
			},
			says: []string{`kube-proxy works with "ipvs"`}, do: []string{"packet check"},
		},
		{
			fault: "no node has an agent", check: "node agents",
			inject: func(i *injection) { i.ofRelease(daemonSets, "node", templateOf(nowhere)) },
			says:   []string{"DaemonSet eastway-node has no pods"}, do: []string{"node.nodeSelector"},
		},
		{
			fault: "pod security refuses the node agents", check: "node agents",
			inject: func(i *injection) {
				i.patch("Namespace", "", install.Namespace,
					`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)
				_, err := i.kubectl(i.Context(), i.first, "", "delete", "pods", "-n", install.Namespace, "-l", "app.kubernetes.io/component=node")
				i.must(err)
			},
			says: []string{"violates PodSecurity"}, do: []string{"pod-security.kubernetes.io/enforce=privileged"},
		},
		{
			fault: "an agent does not start", check: "node agents",
			inject: func(i *injection) { i.strategic(daemonSets, "node", image("node", "eastway.test/none:1")) },
			says:   []string{"the agent on", "ImagePull"}, do: []string{"logs eastway-node-"},
		},
		{
			fault: "a headless Service is to be taken over", check: "taken-over Services",
			inject: func(i *injection) {
				i.add(i.first, strings.ReplaceAll(takenOver, "spec:\n", "spec:\n  clusterIP: None\n"))
			},
			says: []string{"headless"}, do: []string{"--undo leaves it to kube-proxy"},
		},
	}
}
