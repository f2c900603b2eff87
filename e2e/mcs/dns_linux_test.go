package mcs

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// dnsAddress is the clusterset IP, in each cluster its own one.
func dnsAddress(s *spec) {
	s.create(s.first)
	s.export(s.first)
	for _, c := range s.both() {
		i := s.imported(c, hasIPs)
		s.prints(c, exactly(i.Spec.IPs...), "lookup", s.fqdn())
	}
}

// dnsService has one record, though TCP and UDP share the port's number.
func dnsService(s *spec) {
	s.create(s.first)
	s.export(s.first)
	for _, c := range s.both() {
		s.prints(c, exactly(fmt.Sprintf("%d %s", helloPort, s.fqdn())), "lookup", "-type", "SRV", s.fqdn())
	}
}

// clusterLocal names are the cluster's own affair.
func clusterLocal(s *spec) {
	s.create(s.first)
	s.export(s.first)
	s.everywhere(hasIPs)
	name := s.service + "." + s.namespace + ".svc.cluster.local"
	var own corev1.Service
	s.must(s.first.Get(s.Context(), s.key(), &own))
	s.prints(s.first, exactly(own.Spec.ClusterIP), "lookup", name)
	s.prints(s.second, missing, "lookup", name)
}

func missing(lines []string) error {
	if !strings.HasPrefix(lines[0], failed) || !strings.Contains(lines[0], "no such host") {
		return errors.New("the name exists")
	}
	return nil
}

// pods behind most services in a cluster: their addresses by name.
func (s *spec) pods(c *cluster, app string) map[string]string {
	s.Helper()
	var list corev1.PodList
	s.must(c.List(s.Context(), &list, client.InNamespace(s.namespace), client.MatchingLabels{"app": app}))
	pods := make(map[string]string, len(list.Items))
	for i := range list.Items {
		pods[list.Items[i].Name] = list.Items[i].Status.PodIP
	}
	return pods
}

func values(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// headlessAddresses: in the pods' own cluster their own; elsewhere, where those lead nowhere, one for each pod that leads to it.
func headlessAddresses(s *spec) {
	s.create(s.first, headless)
	s.export(s.first)
	pods := s.pods(s.first, "hello")
	s.prints(s.first, exactly(values(pods)...), "lookup", s.fqdn())

	var addresses []string
	s.prints(s.second, func(lines []string) error {
		addresses = lines
		return same("number of addresses", len(lines), replicas)
	}, "lookup", s.fqdn())
	for _, address := range addresses {
		var pod string
		s.calls(s.second, 2, fmt.Sprintf("%s:%d", address, helloPort), func(answer string) bool {
			words := strings.Fields(answer)
			if len(words) != 3 || words[0] != s.first.Name || pods[words[1]] != words[2] || pod != "" && pod != words[1] {
				return false // none of the pods, or that of another address, or not the same twice
			}
			pod = words[1]
			return true
		})
		delete(pods, pod)
	}
}

// headlessHosts: each pod of a StatefulSet has a name in all clusters, at the address that is in the EndpointSlice, and the name
// leads to it.
func headlessHosts(s *spec) {
	s.service = setName
	pods := s.pods(s.first, setName)
	s.create(s.first, headless, func(service *corev1.Service) { service.Spec.Selector["app"] = setName })
	s.export(s.first)
	for _, c := range s.both() {
		for _, endpoint := range s.awaitSlices(c, s.first, len(pods)) {
			if endpoint.Hostname == nil || pods[*endpoint.Hostname] == "" {
				s.Errorf("%s: %+v has not the hostname of one of %v", c.Name, endpoint, pods)
				continue
			}
			pod := *endpoint.Hostname
			if c == s.first {
				s.must(same("addresses in the own cluster", endpoint.Addresses, []string{pods[pod]}))
			}
			name := pod + "." + s.first.Name + "." + s.fqdn()
			s.prints(c, exactly(endpoint.Addresses...), "lookup", name)
			want := s.first.Name + " " + pod + " " + pods[pod]
			s.calls(c, 2, fmt.Sprintf("%s:%d", name, helloPort), func(answer string) bool { return answer == want })
		}
	}
}

// headlessServices has one record for each pod. A pod without a hostname is called by its own name: the suite wants its address,
// which is another one in each cluster.
func headlessServices(s *spec) {
	s.create(s.first, headless)
	s.export(s.first)
	var want []string
	for pod := range s.pods(s.first, "hello") {
		want = append(want, fmt.Sprintf("%d %s.%s.%s", helloPort, pod, s.first.Name, s.fqdn()))
	}
	for _, c := range s.both() {
		s.prints(c, exactly(want...), "lookup", "-type", "SRV", s.fqdn())
	}
}
