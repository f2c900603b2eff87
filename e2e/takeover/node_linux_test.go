package takeover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/e2e/wan/netns"
)

// callTimeout bounds a call; a connection that is not answered is a failed one.
const callTimeout = 2 * time.Second

// gateway is what pods have as their router; each pod's link has it.
const (
	gateway4 = "169.254.1.1"
	gateway6 = "fe80::1"
)

// node is a network namespace that plays a Kubernetes node.
type node struct {
	*netns.Namespace

	file *os.File // keeps the namespace for netlink
	pods int
}

// newNode makes a node with kube-proxy's rules.
func newNode(t *testing.T) *node {
	t.Helper()
	needTools(t)
	n := &node{Namespace: namespace(t, "node")}
	var err error
	if n.file, err = os.Open(n.Path()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.file.Close() })
	n.sysctl(t, "ipv4/ip_forward", "ipv6/conf/all/forwarding")
	// A route for everything else, as nodes have: cluster IPs are looked up before they are translated.
	n.ip(t, "link add eth0 type veth peer name wire", "link set wire up", "addr add 192.0.2.1/24 dev eth0", "addr add 2001:db8::1/64 dev eth0 nodad",
		"link set eth0 up", "route add default via 192.0.2.254", "route add default via 2001:db8::fe")
	return n
}

func namespace(t *testing.T, label string) *netns.Namespace {
	t.Helper()
	ns, err := netns.Create(strings.ReplaceAll(t.Name(), "/", "-") + "-" + label)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns
}

// ip runs iproute2's commands inside.
func (n *node) ip(t *testing.T, commands ...string) { t.Helper(); ip(t, n.Namespace, commands...) }

func ip(t *testing.T, ns *netns.Namespace, commands ...string) {
	t.Helper()
	for _, c := range commands {
		args := []string{"ip", "-n", ns.Name()}
		if strings.Contains(c, ":") { // an IPv6 address
			args = append(args, "-6")
		}
		run(t, "", append(args, strings.Fields(c)...)...)
	}
}

// sysctl switches settings on.
func (n *node) sysctl(t *testing.T, names ...string) {
	t.Helper()
	err := n.Do(func() error {
		var errs []error
		for _, name := range names {
			errs = append(errs, os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// nft runs nft inside of the node, with the commands as its input.
func (n *node) nft(t *testing.T, commands string) string {
	t.Helper()
	return run(t, commands, "nsenter", "--net="+n.Path(), "nft", "-f", "-")
}

// list is our tables as nft prints them; "" if there is none.
func (n *node) list(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(n.nft(t, "list tables")) {
		if table := strings.TrimSpace(line); strings.HasSuffix(table, " eastway") {
			out.WriteString(n.nft(t, "list "+table))
		}
	}
	return out.String()
}

// pod is a network namespace behind the node.
type pod struct {
	*netns.Namespace

	v4, v6 netip.Addr
}

// pod adds a pod.
func (n *node) pod(t *testing.T, label string) *pod {
	t.Helper()
	n.pods++
	p := &pod{Namespace: namespace(t, label)}
	p.v4 = netip.MustParseAddr(fmt.Sprintf("10.244.0.%d", n.pods))
	p.v6 = netip.MustParseAddr(fmt.Sprintf("fd00:10:244::%d", n.pods))
	device := fmt.Sprintf("veth%d", n.pods)
	n.ip(t, "link add "+device+" type veth peer name eth0 netns "+p.Name(),
		"link set "+device+" up", "addr add "+gateway4+"/32 dev "+device, "addr add "+gateway6+"/64 dev "+device+" nodad",
		fmt.Sprintf("route add %s/32 dev %s", p.v4, device), fmt.Sprintf("route add %s/128 dev %s", p.v6, device))
	ip(t, p.Namespace, fmt.Sprintf("addr add %s/32 dev eth0", p.v4), fmt.Sprintf("addr add %s/128 dev eth0 nodad", p.v6),
		"link set eth0 up", "route add "+gateway4+" dev eth0", "route add default via "+gateway4,
		"route add default via "+gateway6+" dev eth0")
	return p
}

// kubeProxy has the node answer calls to the cluster IP as kube-proxy's nftables mode does: with the backend, or, if
// there is none, with a refusal.
func (n *node) kubeProxy(t *testing.T, clusterIP, backend netip.AddrPort) {
	t.Helper()
	family := "ip"
	if clusterIP.Addr().Is6() {
		family = "ip6"
	}
	match := fmt.Sprintf("%s daddr %s tcp dport %d", family, clusterIP.Addr(), clusterIP.Port())
	rules := fmt.Sprintf(`add table %[1]s kube-proxy
		add chain %[1]s kube-proxy nat-prerouting { type nat hook prerouting priority -100; }
		add chain %[1]s kube-proxy nat-output { type nat hook output priority -100; }
		add chain %[1]s kube-proxy filter-forward { type filter hook forward priority 0; }
		add chain %[1]s kube-proxy filter-output { type filter hook output priority 0; }
		`, family)
	if backend.IsValid() {
		rules += fmt.Sprintf(`add rule %[1]s kube-proxy nat-prerouting %[2]s dnat to %[3]s
			add rule %[1]s kube-proxy nat-output %[2]s dnat to %[3]s
			`, family, match, backend)
	} else {
		rules += fmt.Sprintf(`add rule %[1]s kube-proxy filter-forward %[2]s reject
			add rule %[1]s kube-proxy filter-output %[2]s reject
			`, family, match)
	}
	n.nft(t, rules)
}

// listen listens inside of a namespace.
func listen(t *testing.T, ns *netns.Namespace, port uint16) net.Listener {
	t.Helper()
	var l net.Listener
	err := ns.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// answer serves the name and the client's own address on the port.
func (p *pod) answer(t *testing.T, port uint16, name string) {
	t.Helper()
	l := listen(t, p.Namespace, port)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			from := netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr().Unmap()
			_, _ = fmt.Fprintf(conn, "%s %s\n", name, from)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

// call connects from a namespace, and tells who answered and what he takes the caller for.
func call(ctx context.Context, ns *netns.Namespace, address netip.AddrPort) (name, from string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = ns.Do(func() error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		deadline, _ := ctx.Deadline()
		_ = conn.SetDeadline(deadline)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err
		}
		name, from, _ = strings.Cut(strings.TrimSpace(line), " ")
		return nil
	})
	return name, from, err
}

// answers waits until the expected one answers calls to the address.
func answers(t *testing.T, ns *netns.Namespace, address netip.AddrPort, want string, within time.Duration) {
	t.Helper()
	got := ""
	eventually(t, within, fmt.Sprintf("%s answers at %s", want, address), func() bool {
		name, _, err := call(t.Context(), ns, address)
		if err != nil {
			name = "" // none answered
		}
		if name != got {
			t.Logf("%s: %q answers (%v)", address, name, err)
			got = name
		}
		return name == want
	})
}
