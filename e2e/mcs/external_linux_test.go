package mcs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const rewriteLine = "rewrite name exact "

// externalService: callers reach a service outside the cluster under its own name, once CoreDNS has the line that `eastway check` prints.
// Its nearest endpoint has a wrong port, and no call fails. Peers reach it through an export.
func externalService(s *spec) {
	host := s.service + ".test"
	e := s.outside(host)
	s.programmed(e)
	s.calls(s.first, manyCalls, e.Status.Addresses[0]+":80", from(s.first))

	s.warns(s.first, "external names", "callers of "+host, "nowhere", rewriteLine+host)
	s.rewriteName(host)
	s.heals(s.first, "external names", host)
	s.prints(s.first, exactly(e.Status.Addresses...), "lookup", host)
	s.calls(s.first, manyCalls, host+":80", from(s.first))
	s.accepted(s.first, v1alpha1.TargetRef{Group: v1alpha1.GroupOwn, Kind: v1alpha1.KindExternal, Name: s.service})

	s.export(s.first)
	s.imported(s.second, exportedBy(s.first), hasIPs)
	s.calls(s.second, manyCalls, s.address(80), from(s.first))
	s.unexport(s.first)
	s.gone(s.second)

	derived, namespace, _ := strings.Cut(strings.TrimSuffix(e.Status.Hostname, ".svc"), ".")
	s.must(s.first.Delete(s.Context(), e))
	s.await("the Service of "+s.service+" to go", func(ctx context.Context) error {
		return absent(s.first.Get(ctx, client.ObjectKey{Namespace: namespace, Name: derived}, &corev1.Service{}))
	})
}

// outside makes an ExternalService of two pods of the first cluster. The nearer endpoint has a port on which the pod does not listen.
func (s *spec) outside(host string) *v1alpha1.ExternalService {
	s.Helper()
	addresses := slices.Sorted(slices.Values(values(s.pods(s.first, "hello"))))
	region := s.region(s.first)
	e := &v1alpha1.ExternalService{ObjectMeta: s.meta(), Spec: v1alpha1.ExternalServiceSpec{
		Hosts: []string{host}, Resolution: v1alpha1.ResolutionStatic,
		Ports: []v1alpha1.ExternalPort{{Number: 80, Name: "tcp"}},
		Endpoints: []v1alpha1.ExternalEndpoint{
			{Address: addresses[0], Locality: region, Ports: map[string]uint32{"tcp": 81}},
			{Address: addresses[1], Locality: "elsewhere", Ports: map[string]uint32{"tcp": helloPort}},
		},
	}}
	s.must(s.first.Create(s.Context(), e))
	s.Cleanup(func() { _ = s.first.Delete(context.WithoutCancel(s.Context()), e) })
	return e
}

// region of the cluster's nodes.
func (s *spec) region(c *cluster) string {
	s.Helper()
	var nodes corev1.NodeList
	s.must(c.List(s.Context(), &nodes))
	return nodes.Items[0].Labels[corev1.LabelTopologyRegion]
}

// programmed fills in the ExternalService when callers have an address for it.
func (s *spec) programmed(e *v1alpha1.ExternalService) {
	s.Helper()
	s.await("ExternalService "+e.Name+" to be programmed", func(ctx context.Context) error {
		if err := s.first.Get(ctx, s.key(), e); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ExternalProgrammed); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("%+v", e.Status)
		}
		return nil
	})
}

// rewriteName gives CoreDNS the line that `eastway check` prints, until the end of the spec.
func (s *spec) rewriteName(host string) {
	s.Helper()
	findings, _ := s.checkup(s.Context(), s.first)
	line := ""
	for _, f := range findings {
		if _, rest, found := strings.Cut(f.Hint, rewriteLine+host); found {
			line = rewriteLine + host + rest
		}
	}
	var config corev1.ConfigMap
	s.must(s.first.Get(s.Context(), client.ObjectKey{Namespace: "kube-system", Name: "coredns"}, &config))
	was := config.Data["Corefile"]
	write := func(ctx context.Context, text string) error {
		patch, err := json.Marshal(map[string]any{"data": map[string]string{"Corefile": text}})
		if err != nil {
			return err
		}
		for _, args := range [][]string{
			{"patch", "configmap", "coredns", "--type=merge", "-p", string(patch)},
			{"rollout", "restart", "deployment/coredns"}, // a kubelet takes up to a minute to give a pod the new file
			{"rollout", "status", "deployment/coredns", "--timeout", patience.String()},
		} {
			if _, err := s.kubectl(ctx, s.first, "", append([]string{"-n", "kube-system"}, args...)...); err != nil {
				return err
			}
		}
		return nil
	}
	s.Cleanup(func() {
		if err := write(context.WithoutCancel(s.Context()), was); err != nil {
			s.Error(err)
		}
	})
	s.must(write(s.Context(), strings.Replace(was, "    kubernetes ", "    "+line+"\n    kubernetes ", 1)))
}
