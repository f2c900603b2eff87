package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// balancedManifest offers the pods of echoManifest and CoreDNS outside of the cluster.
const balancedManifest = `
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {app: echo}
  ports: [{port: 8000, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: kube-system}
spec:
  type: LoadBalancer
  selector: {k8s-app: kube-dns}
  ports: [{port: 53, targetPort: 5353, protocol: UDP}]
`

// address waits for the one that a Service of type LoadBalancer gets.
func address(t *testing.T, c *Cluster, namespace, service string) (ip string) {
	t.Helper()
	eventually(t, service+" to have an address", func(ctx context.Context) error {
		output, err := c.Kubectl(ctx, "get", "service", "-n", namespace, service, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}").Output()
		if ip = string(output); err == nil && ip == "" {
			err = errors.New("not yet")
		}
		return err
	})
	if !c.lab.state.Plan.site(ipv4, c.index).Contains(netip.MustParseAddr(ip)) {
		t.Errorf("%s has the address %s", service, ip)
	}
	return ip
}

// checkBalancer: addresses of one cluster's Services work from the other one's
// nodes, and follow the health of the nodes.
func checkBalancer(t *testing.T, l *Lab) {
	c, caller := l.Clusters[0], l.Clusters[1].Nodes[0]
	if err := c.Apply(t.Context(), []byte(balancedManifest)); err != nil {
		t.Fatal(err)
	}
	ip := address(t, c, "default", "balanced")
	get := func(ctx context.Context) (string, error) {
		url := "http://" + ip + ":8000/"
		output, err := caller.Command(ctx, "busybox", "timeout", "2", "wget", "-q", "-O", "-", url).CombinedOutput()
		return strings.TrimSpace(string(output)), err
	}
	answers := make(map[string]bool)
	eventually(t, "both nodes to be used", func(ctx context.Context) error {
		answer, err := get(ctx)
		answers[answer] = err == nil
		if !answers[c.Nodes[0].Name] || !answers[c.Nodes[1].Name] {
			return fmt.Errorf("only %v so far (%w)", answers, err)
		}
		return nil
	})

	dns := address(t, c, "kube-system", "dns")
	eventually(t, "an answer over UDP", func(ctx context.Context) error {
		output, err := caller.Command(ctx, "busybox", "timeout", "2", "nslookup", "kubernetes.default.svc.cluster.local", dns).CombinedOutput()
		if !strings.Contains(string(output), ipv4.network().api.String()) {
			return fmt.Errorf("DNS says %s, %w", output, err)
		}
		return nil
	})

	// A node without pods of it is not used any more.
	kubectl(t, c, "label", "node", c.Nodes[0].Name, "echo=no")
	defer kubectl(t, c, "label", "node", c.Nodes[0].Name, "echo-")
	kubectl(t, c, "patch", "daemonset", "echo", "-p",
		`{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{`+
			`"nodeSelectorTerms":[{"matchExpressions":[{"key":"echo","operator":"DoesNotExist"}]}]}}}}}}}`)
	const calls = 20
	eventually(t, "one node alone to be used", func(ctx context.Context) error {
		for i := range calls {
			if answer, err := get(ctx); err != nil || answer != c.Nodes[1].Name {
				return fmt.Errorf("call %d was answered %q, %w", i, answer, err)
			}
		}
		return nil
	})

	// It works on while what set it up is dead, and begins again where it was.
	if err := c.StopBalancer(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := get(t.Context()); err != nil {
		t.Errorf("without the daemon: %v", err)
	}
	if err := c.StartBalancer(t.Context()); err != nil {
		t.Error(err)
	}
	kubectl(t, c, "delete", "service", "balanced")
	eventually(t, "the address to be gone", func(ctx context.Context) error {
		output, err := c.Command(ctx, "ip", "address").Output()
		if err == nil && strings.Contains(string(output), ip+"/") {
			err = errors.New("the gateway still has it")
		}
		return err
	})
	eventually(t, "the deleted service not to answer", func(ctx context.Context) error {
		answer, err := get(ctx)
		if err == nil {
			return fmt.Errorf("it was answered %q", answer)
		}
		return nil
	})
	if again := address(t, c, "kube-system", "dns"); again != dns {
		t.Errorf("another service's address changed from %s to %s", dns, again)
	}
}
