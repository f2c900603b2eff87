package paths

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/loopback"
	"github.com/eastway/eastway/e2e/wan/netns"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/need"
	"github.com/eastway/eastway/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience is how long a call may take in all: an application's own patience.
	patience = 15 * time.Second
	// vip is the address of the service in the near namespace, app that of its endpoint in the far one.
	vip = "127.79.1.2:8000"
	app = "127.79.2.3:8000"
	// addresses of the router's two networks; the far one has room for replicas.
	nearIP, nearRouter = "192.0.2.1/24", "192.0.2.254/24"
	farRouter          = "198.51.100.254/24"
	// mtu is that of all devices, unless a test makes the router's smaller.
	mtu = 1500
)

const service = `apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default, annotations: {eastway.dev/takeover: "true"}}
spec: {clusterIP: 127.79.%d.2, ports: [{name: tcp, port: 8000}]}
`

const export = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: default, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: tcp, port: 8000}]
endpoints: [{addresses: [127.79.2.3]}]
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: shop, namespace: default}
`

// world is a caller's proxy in the near namespace, replicas of a peer in the far one, and a router between them.
type world struct {
	t                 *testing.T
	fleet             *loopback.Fleet
	near, far, router *netns.Namespace
	caller, peer      *loopback.Cluster
}

// newWorld has so many replicas of the peer, which the caller's proxy dials at addresses.
func newWorld(t *testing.T, programs *loopback.Fleet, replicas int, addresses ...string) *world {
	t.Helper()
	fleet, err := programs.Another(t.TempDir())
	must(t, err)
	t.Cleanup(fleet.Close)
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"near-1", "far-1", "far-2", "far-3"} {
				text, _ := os.ReadFile(fleet.Log(name)) // of those that there are
				t.Logf("log of %s:\n%s", name, text)
			}
		}
	})
	w := &world{t: t, fleet: fleet, near: namespace(t, "near"), far: namespace(t, "far"), router: namespace(t, "router")}
	w.join(w.near, nearRouter, nearIP)
	far := make([]string, 0, replicas)
	for i := range replicas {
		far = append(far, replicaIP(i)+"/24")
	}
	w.join(w.far, farRouter, far...)
	must(t, w.router.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }))
	w.run(w.router, "nft", "table inet quiet { chain out { type filter hook output priority 0; meta l4proto icmp drop; }; }")
	w.caller = &loopback.Cluster{Name: "near", Proxies: []*loopback.Proxy{{Name: "near-1", Region: "here", Zone: "a", Admin: "127.79.1.1:15000"}}}
	w.peer = &loopback.Cluster{Name: "far", Addresses: addresses}
	for i := range replicas {
		w.peer.Proxies = append(w.peer.Proxies, &loopback.Proxy{
			Name: fmt.Sprintf("far-%d", i+1), Region: "there", Zone: "b",
			Listen: replicaIP(i) + ":15443", Admin: fmt.Sprintf("127.79.2.1:%d", 15000+i),
		})
	}
	ctx := t.Context()
	must(t, fleet.Found(ctx, w.caller))
	must(t, fleet.Found(ctx, w.peer))
	must(t, fleet.Trust(ctx, w.caller, w.peer))
	must(t, fleet.Trust(ctx, w.peer, w.caller))
	must(t, fleet.Write(w.caller.Proxies[0], "shop.yaml", fmt.Appendf(nil, service, 1)))
	for i, p := range w.peer.Proxies {
		must(t, fleet.Write(p, "shop.yaml", fmt.Appendf(nil, service+export, 10+i)))
	}
	w.serve()
	return w
}

// TestPaths runs all at the same time, with one build of the program.
func TestPaths(t *testing.T) {
	t.Parallel()
	need.Root(t)
	need.Program(t, "nft", "nftables")
	programs, err := loopback.NewFleet(t.Context(), t.TempDir())
	must(t, err)
	t.Cleanup(programs.Close)
	for name, test := range map[string]func(*testing.T, *loopback.Fleet){
		"MTU": smallMTU, "shrinks": mtuShrinks, "names": names,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, programs)
		})
	}
}

// replicaIP is where the peer's replica i is.
func replicaIP(i int) string { return fmt.Sprintf("198.51.100.%d", 1+i) }

func namespace(t *testing.T, label string) *netns.Namespace {
	t.Helper()
	ns, err := netns.Create(strings.ReplaceAll(t.Name(), "/", "-") + "-" + label)
	must(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// join makes a line from the namespace to the router.
func (w *world) join(ns *netns.Namespace, router string, own ...string) {
	w.t.Helper()
	gateway, _, err := net.ParseCIDR(router)
	must(w.t, err)
	name := "to-" + ns.Name()[strings.LastIndex(ns.Name(), "-")+1:]
	must(w.t, w.router.Do(func() error {
		peer, err := os.Open(ns.Path())
		if err != nil {
			return err
		}
		defer peer.Close()
		line := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: name, MTU: mtu}, PeerName: "up", PeerMTU: mtu, PeerNamespace: netlink.NsFd(int(peer.Fd())),
		}
		return errors.Join(netlink.LinkAdd(line), address(name, router))
	}))
	must(w.t, ns.Do(func() error {
		return errors.Join(address("up", own...), netlink.RouteAdd(&netlink.Route{Gw: gateway}))
	}))
}

// address gives a device in the calling thread's namespace its addresses, and sets it up.
func address(name string, addresses ...string) error {
	line, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		parsed, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(line, parsed); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(line)
}

// shrink makes the router pass packets of so many bytes, and drop larger ones without a word.
func (w *world) shrink(most int) {
	w.t.Helper()
	must(w.t, w.router.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if l.Type() == "veth" {
				err = errors.Join(err, netlink.LinkSetMTU(l, most))
			}
		}
		return err
	}))
}

// run a command in a namespace.
func (w *world) run(ns *netns.Namespace, args ...string) {
	w.t.Helper()
	_, err := w.fleet.Command(w.t.Context(), "nsenter", append([]string{"--net=" + ns.Path()}, args...)...)
	must(w.t, err)
}

// start a proxy in its namespace; wrap comes before its command.
func (w *world) start(c *loopback.Cluster, p *loopback.Proxy, wrap ...string) {
	w.t.Helper()
	ns := w.near
	if c == w.peer {
		ns = w.far
	}
	cmd := w.fleet.ProxyCommand(w.t.Context(), c, p)
	args := append(append([]string{"--net=" + ns.Path()}, wrap...), cmd.Args...)
	must(w.t, w.fleet.Run(p.Name, exec.CommandContext(context.WithoutCancel(w.t.Context()), "nsenter", args...)))
}

// status of the caller's proxy.
func (w *world) status(ctx context.Context) (admin.Status, error) {
	client := admin.NewClientOver(func(ctx context.Context) (net.Conn, error) { return w.dial(ctx, w.caller.Proxies[0].Admin) })
	defer client.Close()
	return client.Status(ctx)
}

// await looks at the caller's only peer until seen is nil.
func (w *world) await(what string, seen func(status.Peer) error) {
	w.t.Helper()
	must(w.t, loopback.Await(w.t.Context(), what, func(ctx context.Context) error {
		if err := w.fleet.Process(w.caller.Proxies[0].Name).Alive(); err != nil {
			return err
		}
		st, err := w.status(ctx)
		if err != nil {
			return err
		}
		if len(st.Peers) != 1 {
			return fmt.Errorf("%d peers", len(st.Peers))
		}
		return seen(st.Peers[0])
	}))
}

// dial from the near namespace.
func (w *world) dial(ctx context.Context, at string) (c net.Conn, err error) {
	err = w.near.Do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, "tcp", at)
		return err
	})
	return c, err
}

// serve echoes at the endpoint, whole connections at a time and half-closes too.
func (w *world) serve() {
	w.t.Helper()
	var ln net.Listener
	must(w.t, w.far.Do(func() (err error) {
		ln, err = new(net.ListenConfig).Listen(w.t.Context(), "tcp", app)
		return err
	}))
	w.t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

// awaitService returns once a call is answered.
func (w *world) awaitService() {
	w.t.Helper()
	must(w.t, loopback.Await(w.t.Context(), "a call is answered", func(ctx context.Context) error {
		_, err := w.call(ctx, request)
		return err
	}))
}

// call sends so many bytes on a connection of its own, reads them back, and returns how long that took.
func (w *world) call(ctx context.Context, size int) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add(patience))
	defer cancel()
	c, err := w.dial(ctx, vip)
	if err != nil {
		return time.Since(began), err
	}
	defer c.Close()
	if err := c.SetDeadline(began.Add(patience)); err != nil {
		return 0, err
	}
	err = echo(c, size)
	return time.Since(began), err
}

// echo sends so many bytes and reads them back.
func echo(c net.Conn, size int) error {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, size))
		sent <- err
	}()
	n, err := io.CopyN(io.Discard, c, int64(size))
	if err != nil {
		_ = c.Close()
		err = fmt.Errorf("%d of %d bytes came back: %w", n, size, err)
	}
	return errors.Join(err, <-sent)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
