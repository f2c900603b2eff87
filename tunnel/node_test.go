package tunnel

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// mesh starts one node for each name, CLUSTER/REPLICA, each with an address, and peers all clusters.
func mesh(t *testing.T, names ...string) map[string]*Node {
	t.Helper()
	clusters := map[string][]string{}
	for _, n := range names {
		c, _, _ := strings.Cut(n, "/")
		clusters[c] = append(clusters[c], n)
	}
	var list []string
	for c := range clusters {
		list = append(list, c)
	}
	worlds := certstest.New(t, list...)
	nodes := map[string]*Node{}
	for _, n := range names {
		c, r, _ := strings.Cut(n, "/")
		nodes[n] = startNode(t, Config{
			Cluster: c, Replica: r, Listen: "127.0.0.1:0", Credentials: worlds[c].Auth, Reason: certs.Reason, Handle: echo,
		})
	}
	for _, n := range names {
		c, _, _ := strings.Cut(n, "/")
		var peers []Peer
		for other, replicas := range clusters {
			if other == c {
				continue
			}
			p := Peer{Name: other}
			for _, r := range replicas {
				p.Addresses = append(p.Addresses, nodes[r].Addr().String())
			}
			peers = append(peers, p)
		}
		nodes[n].SetPeers(peers)
	}
	return nodes
}

// liveLinks are those that are not draining.
func liveLinks(n *Node, peer string) int {
	links, _ := n.links(peer)
	live := 0
	for _, l := range links {
		if !l.isDraining() {
			live++
		}
	}
	return live
}

// TestBothSidesDial: of the links that both sides dial, one for each pair of replicas remains, and it is the same on both sides.
func TestBothSidesDial(t *testing.T) {
	t.Parallel()
	nodes := mesh(t, "a/1", "a/2", "b/1", "b/2")
	settled := func() bool {
		sides := map[string]int{} // of each link
		for name, n := range nodes {
			peer := "b"
			if strings.HasPrefix(name, "b") {
				peer = "a"
			}
			links, _ := n.links(peer)
			if len(links) != 2 || liveLinks(n, peer) != 2 {
				return false
			}
			for _, l := range links {
				sides[l.id]++
			}
		}
		for _, n := range sides {
			if n != 2 {
				return false
			}
		}
		return len(sides) == 4
	}
	await(t, "exactly one link for each pair", settled)
	since := time.Now()
	await(t, "that stays so", func() bool {
		if !settled() {
			t.Fatal("links changed without a reason")
		}
		return time.Since(since) > 2*time.Second
	})
}

// usableReplicas are those of b to which a link takes streams. For a moment there may be two to one, of which one ends.
func usableReplicas(n *Node) string {
	usable := make(map[string]bool)
	links, _ := n.links("b")
	for _, l := range links {
		if l.usable() && len(l.usableLanes()) > 0 {
			usable[l.replica] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(usable)), " ")
}

// TestReplicaGoesAway: GoAway moves new streams to the other replica at once, and what is open ends in peace.
func TestReplicaGoesAway(t *testing.T) {
	t.Parallel()
	nodes := mesh(t, "a/1", "b/1", "b/2")
	a := nodes["a/1"]
	await(t, "both replicas are usable", func() bool { return usableReplicas(a) == "1 2" })
	s, err := a.Open(t.Context(), "b", header(), []string{"2"})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Answered()
	drained := make(chan error, 1)
	go func() { drained <- nodes["b/1"].Drain(t.Context()) }()
	await(t, "only the other replica is usable", func() bool { return usableReplicas(a) == "2" })
	for range 10 {
		other, err := a.Open(t.Context(), "b", header(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r := other.Info().Replica; r != "2" {
			t.Fatalf("a new stream went to replica %s", r)
		}
		other.Reset("over")
	}
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = s.CloseWrite()
	var b bytes.Buffer
	if _, err := b.ReadFrom(s); err != nil || b.String() != "x" {
		t.Errorf("the open stream: %q, %v", b.String(), err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestPeerRemoved(t *testing.T) {
	t.Parallel()
	nodes := mesh(t, "a/1", "b/1")
	a, b := nodes["a/1"], nodes["b/1"]
	await(t, "connected", func() bool { return a.State("b").Usable && b.State("a").Usable })
	a.SetPeers(nil)
	await(t, "the tunnel is closed on both sides", func() bool { return len(a.allLinks()) == 0 && !b.State("a").Usable })
	if _, err := a.Open(t.Context(), "b", header(), nil); !errors.Is(err, ErrUnknownPeer) {
		t.Errorf("Open to a removed peer: %v", err)
	}
	if _, err := b.Open(t.Context(), "a", header(), nil); !errors.Is(err, ErrNoLane) {
		t.Errorf("Open without a tunnel: %v", err)
	}
}

// TestLanesGrowAndPreferIdle: a new stream takes an idle lane, and busy lanes make more.
func TestLanesGrowAndPreferIdle(t *testing.T) {
	t.Parallel()
	p := newPair(t, withTransport("tcp"), withHandler(echo))
	await(t, "all lanes", func() bool { return lanesOf(p.a, "tcp") == tcpLanes })
	first, second := p.open(t), p.open(t)
	if first.Info().Lane == second.Info().Lane {
		t.Errorf("both streams are on %s although the other lane is idle", first.Info().Lane)
	}
	for range 40 {
		p.open(t)
	}
	await(t, "more lanes", func() bool { return lanesOf(p.a, "tcp") > tcpLanes })
}

// TestHelloIsChecked: an authenticated peer whose Hello is wrong gets no link.
func TestHelloIsChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tunnelpb.Hello){
		"another cluster's name": func(h *tunnelpb.Hello) { h.Cluster = "c" },
		"no replica":             func(h *tunnelpb.Hello) { h.Replica = "" },
		"short link":             func(h *tunnelpb.Hello) { h.Link = []byte("short") },
		"a lane of no link":      func(h *tunnelpb.Hello) { h.Role = tunnelpb.Hello_ROLE_LANE },
		"a megabyte of version":  func(h *tunnelpb.Hello) { h.Version = strings.Repeat("x", 15<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca, cb := configs(t)
			b := startNode(t, cb)
			b.SetPeers([]Peer{{Name: "a"}})
			sess := dialRaw(t, ca, b)
			h := &tunnelpb.Hello{Cluster: "a", Replica: "r", Role: tunnelpb.Hello_ROLE_CONTROL, Link: []byte("0123456789abcdef")}
			change(h)
			channel, _, err := sayHello(sess, h)
			if err == nil {
				t.Error("the Hello was taken")
			}
			_ = channel
			if len(b.allLinks()) != 0 {
				t.Error("there is a link")
			}
		})
	}
}

// dialRaw is an authenticated connection of a's that has not sent Hello.
func dialRaw(t *testing.T, ca Config, b *Node) transport.Session {
	t.Helper()
	cfg, err := ca.Credentials.ClientConfig("b")
	if err != nil {
		t.Fatal(err)
	}
	to := transport.Target{Peer: "b", Address: b.Addr().String(), TLS: cfg}
	sess, err := transport.NewTCP(transport.TCPConfig{}).Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sess.Close("over") })
	return sess
}

// TestStrangerIsRefused: over both transports, one count with the reason, no link.
func TestStrangerIsRefused(t *testing.T) {
	t.Parallel()
	for _, over := range []string{"tcp", "quic"} {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			ca, cb := configs(t, withTransport(over))
			stranger := certstest.New(t, "a", "b")["a"] // same names, other keys
			ca.Credentials = stranger.Auth
			reg := prometheus.NewPedanticRegistry()
			cb.Metrics = reg
			b := startNode(t, cb)
			b.SetPeers([]Peer{{Name: "a"}})
			a := startNode(t, ca)
			a.SetPeers([]Peer{{Name: "b", Addresses: []string{b.Addr().String()}}})
			// The dialer refuses first: b's certificate is none of its world's. Status has the reason.
			await(t, "a's status has the reason", func() bool { return strings.Contains(a.Status()[0].LastError, "unknown_authority") })
			if reason := a.Status()[0].Reason; reason != certs.ReasonUnknownAuthority {
				t.Errorf("reason %q", reason)
			}
			await(t, "b counts it", func() bool {
				n, err := testutil.GatherAndCount(reg, "eastway_tunnel_handshakes_refused_total")
				return err == nil && n > 0
			})
			if a.State("b").Usable || len(b.allLinks()) != 0 {
				t.Error("there is a link")
			}
		})
	}
}

// TestUntrustedDialerIsRefused: the dialer trusts b, but b knows another key for a.
func TestUntrustedDialerIsRefused(t *testing.T) {
	t.Parallel()
	for _, over := range []string{"tcp", "quic"} {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			ca, cb := configs(t, withTransport(over))
			other := certstest.New(t, "a", "b")
			// b presents what a trusts, but trusts another world's a.
			cb.Credentials = mixed{present: cb.Credentials, trust: other["b"].Auth}
			reg := prometheus.NewPedanticRegistry()
			cb.Metrics = reg
			b := startNode(t, cb)
			b.SetPeers([]Peer{{Name: "a"}})
			a := startNode(t, ca)
			a.SetPeers([]Peer{{Name: "b", Addresses: []string{b.Addr().String()}}})
			await(t, "b counts the reason", func() bool {
				mfs, err := reg.Gather()
				if err != nil {
					return false
				}
				for _, mf := range mfs {
					if mf.GetName() != "eastway_tunnel_handshakes_refused_total" {
						continue
					}
					for _, m := range mf.GetMetric() {
						if m.GetLabel()[0].GetValue() == "unknown_authority" && m.GetCounter().GetValue() > 0 {
							return true
						}
					}
				}
				return false
			})
			await(t, "a's status has the reason", func() bool { return a.Status()[0].Reason == certs.ReasonRefusedByPeer })
			if len(b.allLinks()) != 0 {
				t.Error("there is a link")
			}
		})
	}
}

// mixed presents one world's certificate and trusts another's.
type mixed struct{ present, trust Credentials }

func (m mixed) ClientConfig(p string) (*tls.Config, error)          { return m.present.ClientConfig(p) }
func (m mixed) PeerName(cs tls.ConnectionState) (string, error)     { return m.trust.PeerName(cs) }
func (m mixed) Lease(cs tls.ConnectionState) (renew, end time.Time) { return m.trust.Lease(cs) }
func (m mixed) ServerConfig() *tls.Config {
	c := m.trust.ServerConfig()
	c.GetCertificate = m.present.ServerConfig().GetCertificate
	return c
}

// TestMessages: whole messages both ways, bounded, and over when the link is.
func TestMessages(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		big := bytes.Repeat([]byte("m"), wire.MaxMessage)
		got := make(chan []byte, 4)
		ended := make(chan error, 4)
		p := newPair(t, withTransport(transport), func(a, b *Config) {
			a.Messages = func(ctx context.Context, _ Link, c MessageConn) error {
				if err := c.Send(ctx, append(big, 'x')); err == nil {
					t.Error("a message over the limit was sent")
				}
				if err := c.Send(ctx, big); err != nil {
					return err
				}
				_, err := c.Receive(ctx)
				ended <- err
				return err
			}
			b.Messages = func(ctx context.Context, l Link, c MessageConn) error {
				if l.Peer != "a" || l.Replica != "a1" {
					t.Errorf("link is %+v", l)
				}
				m, err := c.Receive(ctx)
				got <- m
				<-ctx.Done()
				return err
			}
		})
		if m := <-got; !bytes.Equal(m, big) {
			t.Errorf("%d bytes arrived of %d", len(m), len(big))
		}
		p.b.SetPeers(nil)
		if err := <-ended; err == nil {
			t.Error("Receive ended without an error when the link closed")
		}
	})
}

func TestBusyPort(t *testing.T) {
	t.Parallel()
	ca, cb := configs(t)
	b := startNode(t, cb)
	ca.Listen = b.Addr().String()
	if _, err := New(t.Context(), ca); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("error does not say what to do: %v", err)
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	ca, _ := configs(t)
	for field, change := range map[string]func(*Config){
		"Cluster":     func(c *Config) { c.Cluster = "" },
		"Credentials": func(c *Config) { c.Credentials = nil },
		"DisableTCP":  func(c *Config) { c.DisableTCP, c.DisableQUIC = true, true },
		"Listen":      func(c *Config) { c.Listen = "nowhere" },
	} {
		c := ca
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
