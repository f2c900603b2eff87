package families

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
)

// address of the port at a host.
func address(host string) string { return net.JoinHostPort(host, strconv.Itoa(helloPort)) }

func fqdn(service string) string { return service + "." + namespace + ".svc.clusterset.local" }

// records are the kinds that names have in a cluster.
func (w *world) records(c *lab.Cluster) []string {
	switch c {
	case w.six:
		return []string{"AAAA"}
	case w.four:
		return []string{"A"}
	default:
		return []string{"A", "AAAA"}
	}
}

// linked clusters, itself included.
func (w *world) linked(c *lab.Cluster) []*lab.Cluster {
	if c == w.dual {
		return w.Lab.Clusters
	}
	return []*lab.Cluster{w.dual, c}
}

func TestFamilies(t *testing.T) {
	w := newWorld(t)
	t.Run("peers", func(t *testing.T) { w.sub(t).peers() })
	for i, from := range w.Lab.Clusters {
		for _, s := range services()[i] {
			if s.Name == shop {
				continue
			}
			for _, c := range w.linked(from) {
				t.Run(fmt.Sprintf("%s of %s in %s", s.Name, from.Name, c.Name), func(t *testing.T) { w.sub(t).imported(c, from, s) })
			}
		}
	}
	t.Run("no transit", func(t *testing.T) { // what one peer exports is not passed on to another
		w.sub(t).addresses(w.four, "A", fqdn("only-six"), false)
		w.sub(t).addresses(w.six, "AAAA", fqdn("only-four"), false)
	})
	for _, c := range w.Lab.Clusters {
		t.Run("check of "+c.Name, func(t *testing.T) {
			out, err := w.Eastway(t.Context(), "check", "--context", c.Name)
			t.Log(out)
			w.sub(t).must(err)
		})
		t.Run("taken over in "+c.Name, func(t *testing.T) { w.sub(t).takenOver(c) })
	}
	t.Run("helm test", func(t *testing.T) {
		out, err := w.Helm(t.Context(), w.six, "test", install.Release, "--namespace", install.Namespace, "--logs")
		w.sub(t).must(err)
		if _, log, found := strings.Cut(out, "POD LOGS: eastway-test"); !found || !strings.Contains(log, "checks passed") {
			t.Errorf("no log of the checks in\n%s", out)
		}
	})
	t.Run("order of regions", func(t *testing.T) { w.sub(t).regions() })
	t.Run("removed", func(t *testing.T) { w.sub(t).removed() })
}

// peers: each cluster has told the other addresses of all its families, and they are connected.
func (w *world) peers() {
	for _, c := range w.Lab.Clusters {
		objects, err := install.Client(c)
		w.must(err)
		for _, other := range w.linked(c) {
			if other == c {
				continue
			}
			var p v1alpha1.Peer
			w.must(objects.Get(w.Context(), client.ObjectKey{Name: other.Name}, &p))
			kinds := make(map[string]bool)
			for _, a := range p.Spec.Addresses {
				at, err := netip.ParseAddrPort(a)
				w.must(err)
				kinds[map[bool]string{true: "A", false: "AAAA"}[at.Addr().Is4()]] = true
			}
			if got, want := slices.Sorted(maps.Keys(kinds)), w.records(other); !slices.Equal(got, want) {
				w.Errorf("%s: %s is said to be at %v", c.Name, other.Name, p.Spec.Addresses)
			}
			w.must(lab.Await(w.Context(), c.Name+" to be connected with "+other.Name, patience, func(ctx context.Context) error {
				if err := objects.Get(ctx, client.ObjectKeyFromObject(&p), &p); err != nil {
					return err
				}
				if !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PeerConnected) || p.Status.ConnectedProxies < p.Status.Proxies {
					return fmt.Errorf("%+v", p.Status)
				}
				return nil
			}))
		}
	}
}

// imported: a service of one cluster is called in a cluster by the name for all
// clusters, at each address that the name has there.
func (w *world) imported(c, from *lab.Cluster, s service) {
	names := []string{fqdn(s.Name)}
	if s.Headless {
		names = append(names, "set-0."+from.Name+"."+fqdn(s.Name))
	}
	for _, name := range names {
		for _, kind := range w.records(c) {
			for _, host := range w.addresses(c, kind, name, true) {
				w.answered(c, host, from)
			}
		}
		w.answered(c, name, from)
		switch c {
		case w.six:
			w.addresses(c, "A", name, false)
		case w.four:
			w.addresses(c, "AAAA", name, false)
		}
	}
	if !s.Headless {
		w.refused(c, s)
	}
}

// refused: a datagram to a port that is not carried is answered at once, with the family's ICMP.
func (w *world) refused(c *lab.Cluster, s service) {
	for _, kind := range w.records(c) {
		for _, host := range w.addresses(c, kind, fqdn(s.Name), true) {
			w.must(lab.Await(w.Context(), "a datagram to "+host+" to be refused", patience, func(ctx context.Context) error {
				answers, err := w.hello(ctx, c, "call", "-udp", address(host))
				if err == nil && !strings.Contains(answers[0], "connection refused") {
					err = errors.New(answers[0])
				}
				return err
			}))
		}
	}
}

// scale what answers.
func (w *world) scale(c *lab.Cluster, replicas int) {
	w.Helper()
	w.kubectl(c, "--namespace", namespace, "scale", "deployment/hello", fmt.Sprintf("--replicas=%d", replicas))
}

// takenOver: the Service's own addresses, of each family, lead to the own cluster while it has pods, then to others.
func (w *world) takenOver(c *lab.Cluster) {
	own := []*lab.Cluster{c}
	others := slices.DeleteFunc(slices.Clone(w.linked(c)), func(one *lab.Cluster) bool { return one == c })
	_, err := w.Eastway(w.Context(), "takeover", shop, "--context", c.Name, "--namespace", namespace)
	w.must(err)
	hosts := strings.Fields(w.kubectl(c, "--namespace", namespace, "get", "service", shop, "-o", "jsonpath={.spec.clusterIPs[*]}"))
	if len(hosts) != len(w.records(c)) {
		w.Fatalf("the Service has the addresses %v", hosts)
	}
	hosts = append(hosts, shop)
	for i, by := range [][]*lab.Cluster{own, others, own} {
		w.scale(c, []int{replicas, 0, replicas}[i])
		for _, host := range hosts {
			w.answered(c, host, by...)
		}
	}
	_, err = w.Eastway(w.Context(), "takeover", shop, "--undo", "--context", c.Name, "--namespace", namespace)
	w.must(err)
}

// regions: of two other regions the one that the policy names is called first; when it has no endpoint, the other one.
func (w *world) regions() {
	_, err := w.Eastway(w.Context(), "takeover", shop, "--context", w.dual.Name, "--namespace", namespace)
	w.must(err)
	w.scale(w.dual, 0)
	for _, order := range [][]*lab.Cluster{{w.four, w.six}, {w.six, w.four}} {
		first, second := order[0], order[1]
		w.must(w.dual.Apply(w.Context(), fmt.Appendf(nil, `
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  targetRef: {kind: Service, name: %[1]s}
  loadBalancer: {localityLbSetting: {failover: [{from: %[3]s, to: %[4]s}]}}
`, shop, namespace, w.dual.Region, first.Region)))
		w.answered(w.dual, shop, first)
		w.scale(first, 0)
		w.answered(w.dual, shop, second)
		w.scale(first, replicas)
		w.answered(w.dual, shop, first)
	}
}

// removed: nothing of it is left in the nodes' tables.
func (w *world) removed() {
	for _, c := range w.Lab.Clusters {
		w.must(w.Uninstall(w.Context(), c))
		objects, err := install.Client(c)
		w.must(err)
		w.must(lab.Await(w.Context(), c.Name+" to remove the pod of helm test", patience, func(ctx context.Context) error {
			err := objects.Get(ctx, client.ObjectKey{Namespace: install.Namespace, Name: "eastway-test"}, &corev1.Pod{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("it is there: %v", err) //nolint:errorlint // it may be nil
		}))
		for _, n := range c.Nodes {
			tables, err := n.Command(w.Context(), "nft", "list", "tables").CombinedOutput()
			w.must(err)
			if strings.Contains(string(tables), "eastway") {
				w.Errorf("%s has tables:\n%s", n.Name, tables)
			}
		}
	}
}
