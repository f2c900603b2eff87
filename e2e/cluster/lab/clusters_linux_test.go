package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Two clusters are what they say, do what clusters do, survive faults that are
// asked for, and leave nothing.
func TestClusters(t *testing.T) {
	needSupport(t)
	l := up(t, Config{Name: "lab-test"})
	loadTestImage(t, l)
	for _, c := range l.Clusters {
		if err := c.Apply(t.Context(), []byte(echoManifest)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range l.Clusters {
		kubectl(t, c, "rollout", "status", "daemonset/echo", "--timeout=60s")
		t.Run(c.Name+"/nodes", func(t *testing.T) { checkNodes(t, c) })
		t.Run(c.Name+"/pods", func(t *testing.T) { checkPods(t, c) })
	}
	t.Run("apart", func(t *testing.T) { checkApart(t, l) })
	t.Run("reach", func(t *testing.T) { checkReach(t, l) })
	t.Run("zones", func(t *testing.T) { checkZones(t, l.Clusters[1]) })
	t.Run("line", func(t *testing.T) { checkLine(t, l) })
	t.Run("load balancers", func(t *testing.T) { checkBalancer(t, l) })
	t.Run("API server stops", func(t *testing.T) { checkAPIOutage(t, l.Clusters[0]) })
	t.Run("container killed", func(t *testing.T) { checkContainerKilled(t, l.Clusters[0]) })
	t.Run("node lost", func(t *testing.T) { checkNodeLost(t, l.Clusters[1]) })
	t.Run("opened", func(t *testing.T) { checkOpened(t, l) })
	t.Run("as the user's", func(t *testing.T) { checkUsers(t, l) })

	// The end, after a crash of all sorts.
	before := remember(t, l)
	if len(before.namespaces) < 2*9 || len(before.cgroups) == 0 {
		t.Errorf("there are %d namespaces and %d cgroups: too few to look for", len(before.namespaces), len(before.cgroups))
	}
	c := l.Clusters[0]
	if err := c.control.Signal(t.Context(), apiServer, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := c.Nodes[0].Signal(t.Context(), Containerd, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(l.internet.PID(), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	for range 2 { // the second time it has nothing to do
		if err := l.Down(t.Context()); err != nil {
			t.Error(err)
		}
	}
	before.checkGone(t)
}

func checkNodes(t *testing.T, c *Cluster) {
	clients, err := c.Clients()
	if err != nil {
		t.Fatal(err)
	}
	version, err := clients.Discovery().ServerVersion()
	if err != nil || version.Major != "1" || !strings.HasPrefix(version.GitVersion, "v1.") {
		t.Errorf("version %+v, %v", version, err)
	}
	nodes, err := clients.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes.Items) != len(c.Nodes) || len(c.Nodes) != 2 {
		t.Fatalf("%d nodes, want %d", len(nodes.Items), len(c.Nodes))
	}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		want := c.Nodes[i]
		got := []string{node.Name, node.Labels[corev1.LabelTopologyRegion], node.Labels[corev1.LabelTopologyZone], node.Status.Addresses[0].Address}
		if expect := []string{want.Name, c.Region, c.Zones[i], want.Address.String()}; !slices.Equal(got, expect) {
			t.Errorf("node is %q, want %q", got, expect)
		}
		if !slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			t.Errorf("%s is not ready", node.Name)
		}
	}
}

// checkPods calls the Service by its cluster's name until both nodes have answered a pod on each of them.
func checkPods(t *testing.T, c *Cluster) {
	for name, node := range echoPods(t, c) {
		answered := make(map[string]bool)
		eventually(t, "both nodes to answer a pod on "+node, func(ctx context.Context) error {
			const url = "http://echo.default.svc.cluster.local/"
			answer, err := c.Kubectl(ctx, "exec", name, "--", "timeout", "2", "wget", "-q", "-O", "-", url).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, answer)
			}
			answered[strings.TrimSpace(string(answer))] = true
			if !answered[c.Nodes[0].Name] || !answered[c.Nodes[1].Name] {
				return fmt.Errorf("only %v so far", answered)
			}
			return nil
		})
		answer := kubectl(t, c, "exec", name, "--", "nslookup", "kubernetes.default.svc.cluster.local")
		if !strings.Contains(answer, ipv4.network().api.String()) {
			t.Errorf("DNS says %s", answer)
		}
		if logs := kubectl(t, c, "logs", name); !strings.Contains(logs, "serving") {
			t.Errorf("logs of %s: %q", name, logs)
		}
	}
}

// echoPods are the pods of the test by name, and their nodes.
func echoPods(t *testing.T, c *Cluster) map[string]string {
	t.Helper()
	pods := make(map[string]string)
	lines := kubectl(t, c, "get", "pods", "-l", "app=echo", "-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\n"}{end}`)
	for line := range strings.Lines(lines) {
		name, node, _ := strings.Cut(strings.TrimSpace(line), " ")
		pods[name] = node
	}
	if len(pods) != 2 {
		t.Fatalf("%s has pods %v, not one on each node", c.Name, pods)
	}
	return pods
}

// checkApart: nodes of two clusters reach each other, and pods reach the nodes of
// the other cluster, but not its pods, though these can be reached at home.
func checkApart(t *testing.T, l *Lab) {
	here, there := l.Clusters[0], l.Clusters[1]
	url := func(host string, port int) string {
		return fmt.Sprintf("http://%s/", net.JoinHostPort(host, fmt.Sprint(port)))
	}
	wget := func(c *Cluster, url string) (string, error) {
		for name := range echoPods(t, c) {
			answer, err := c.Kubectl(t.Context(), "exec", name, "--", "timeout", "2", "wget", "-q", "-O", "-", url).CombinedOutput()
			return strings.TrimSpace(string(answer)), err
		}
		return "", errors.New("no pod to call from")
	}
	// A port at which nothing in this cluster listens tells the clusters' equal addresses apart.
	const port = 9999
	for name := range echoPods(t, there) {
		kubectl(t, there, "exec", name, "--", "httpd", "-p", fmt.Sprint(port), "-h", "/tmp")
		address := kubectl(t, there, "get", "pod", name, "-o", "jsonpath={.status.podIP}")
		if answer, err := wget(there, url(address, port)); err != nil {
			t.Errorf("%s does not reach its own pod at %s: %v: %s", there.Name, address, err, answer)
		}
		if answer, err := wget(here, url(address, port)); err == nil {
			t.Errorf("%s reaches the pod %s of %s: %s", here.Name, address, there.Name, answer)
		}
	}
	nodePort := url(there.Nodes[0].Address.String(), 30080)
	if answer, err := wget(here, nodePort); err != nil || !strings.HasPrefix(answer, there.Name) {
		t.Errorf("a pod's call to a node of the other cluster: %q, %v", answer, err)
	}
	call := here.Nodes[1].Command(t.Context(), "busybox", "timeout", "2", "wget", "-q", "-O", "-", nodePort)
	if answer, err := call.CombinedOutput(); err != nil || !strings.HasPrefix(string(answer), there.Name) {
		t.Errorf("a node's call to a node of the other cluster: %q, %v", answer, err)
	}
}

func checkAPIOutage(t *testing.T, c *Cluster) {
	if err := c.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	clients, err := c.Clients()
	if err != nil {
		t.Fatal(err)
	}
	if version, err := clients.Discovery().ServerVersion(); err == nil {
		t.Errorf("it is stopped, and answers %v", version)
	}
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if version, err := clients.Discovery().ServerVersion(); err != nil {
		t.Errorf("started again it says %v, %v", version, err)
	}
}

func checkContainerKilled(t *testing.T, c *Cluster) {
	// The status of the DaemonSet may be that of before the API server was away.
	eventually(t, "a ready pod on each node", func(ctx context.Context) error {
		ready, err := c.Kubectl(ctx, "get", "pods", "-l", "app=echo", "-o", "jsonpath={.items[*].status.containerStatuses[0].ready}").Output()
		if err == nil && string(ready) != "true true" {
			err = fmt.Errorf("their containers' ready is %s", ready)
		}
		return err
	})
	for pod := range echoPods(t, c) {
		if err := c.SignalContainer(t.Context(), "default", pod, "echo", syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the killed container to be restarted", func(ctx context.Context) error {
			restarts, err := c.Kubectl(ctx, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}").Output()
			if err == nil && string(restarts) != "1" {
				err = fmt.Errorf("restarted %s times", restarts)
			}
			return err
		})
	}
}

func checkNodeLost(t *testing.T, c *Cluster) {
	n := c.Nodes[1]
	reach := func() error {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(n.Address.String(), "30080"), time.Second)
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := reach(); err != nil {
		t.Errorf("not reached before it was lost: %v", err)
	}
	if err := n.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := reach(); err == nil {
		t.Error("still reached")
	}
	if err := n.Command(t.Context(), "true").Run(); err == nil {
		t.Error("a program was run on it")
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its pod to be back", func(context.Context) error { return reach() })
	kubectl(t, c, "rollout", "status", "daemonset/echo", "--timeout=60s")
}

// checkOpened: another process may do all of this as well.
func checkOpened(t *testing.T, l *Lab) {
	opened, err := Open(l.Config().Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), Config{Name: "lab-test"}); !errors.Is(err, ErrUp) {
		t.Errorf("a second one of this name: %v", err)
	}
	if _, err := Up(t.Context(), Config{Name: "lab-test", Replace: true}); !errors.Is(err, ErrUp) {
		t.Errorf("replaced while its starter lives: %v", err)
	}
	n := opened.Clusters[0].Nodes[0]
	if err := n.StopDaemon(t.Context(), Kubelet); err != nil {
		t.Error(err)
	}
	if err := n.StartDaemon(t.Context(), Kubelet); err != nil {
		t.Error(err)
	}
	if err := opened.Clusters[0].StopAPIServer(t.Context()); err != nil {
		t.Error(err)
	}
	if err := opened.Clusters[0].StartAPIServer(t.Context()); err != nil {
		t.Error(err)
	}
}

// checkUsers: the same clusters, given by their kubeconfigs, can be used and not harmed.
func checkUsers(t *testing.T, l *Lab) {
	t.Setenv(UserVariable, l.Clusters[0].Kubeconfig+","+l.Clusters[1].Kubeconfig)
	users, err := ForTest(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range users.Clusters {
		same := l.Clusters[i]
		if c.Name != same.Name || c.Region != same.Region || !slices.Equal(c.Zones, same.Zones) || c.APIServer != same.APIServer {
			t.Errorf("cluster %s %s %v %s", c.Name, c.Region, c.Zones, c.APIServer)
		}
		if n := c.Nodes[1]; n.Name != same.Nodes[1].Name || n.Zone != same.Nodes[1].Zone || n.Address != same.Nodes[1].Address {
			t.Errorf("node %s %s %s", n.Name, n.Zone, n.Address)
		}
		for what, err := range map[string]error{
			"LoadImage":     c.LoadImage(t.Context(), "/nowhere"),
			"StopAPIServer": c.StopAPIServer(t.Context()),
			"Kill":          c.Nodes[0].Kill(t.Context()),
			"Command":       c.Nodes[0].Command(t.Context(), "true").Run(),
			"StopDaemon":    c.Nodes[0].StopDaemon(t.Context(), Kubelet),
		} {
			if err == nil || !strings.Contains(err.Error(), UserVariable) {
				t.Errorf("%s of a user's cluster: %v", what, err)
			}
		}
	}
	if err := users.Down(t.Context()); err != nil {
		t.Error(err)
	}
	checkNodes(t, users.Clusters[0])
}
