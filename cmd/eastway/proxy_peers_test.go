package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/tunnel"
)

// A peer that cannot be reached costs its own endpoints only, and is connected to as soon as it is there.
func TestUnreachablePeer(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tcp", "quic", "tcp,quic"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			a, b := newSite(t, "aa"), newSite(t, "bb")
			vip, app := newAddress(), newAddress()
			startApp(t, "app", app)
			a.write(t, "shop.yaml", serviceManifest("shop", vip, endpoint{app, "aa-1"}))
			a.trust(t, b, b.tunnel())
			b.trust(t, a)
			p := a.start(t, "--transports", transport)
			mustCall(t, vip, "app")
			eventually(t, "the reason shows", func() error {
				st := p.status(t).Peers
				if len(st) != 1 || st[0].State != "disconnected" || st[0].LastError == "" {
					return fmt.Errorf("%+v", st)
				}
				return nil
			})
			said := p.status(t).Peers[0].LastError
			if !strings.Contains(said, b.tunnel()) || strings.Contains(said, "\n") {
				t.Errorf("last error, want one line with %s: %q", b.tunnel(), said)
			}
			text := mustRun(t, "status", "--admin", a.admin())
			if !strings.Contains(text, "disconnected") || !strings.Contains(text, said) {
				t.Errorf("status does not show it:\n%s", text)
			}
			b.start(t)
			p.connected(t, "bb")
			if st := p.status(t).Peers[0]; st.LastError != "" {
				t.Errorf("connected, but the last error is still %q", st.LastError)
			}
			mustCall(t, vip, "app")
		})
	}
}

// A name that does not resolve is reported as such.
func TestPeerWithUnknownName(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	a.trust(t, b, "nowhere.invalid:15443")
	p := a.start(t)
	eventually(t, "the reason shows", func() error {
		if st := p.status(t).Peers; len(st) != 1 || !strings.Contains(st[0].LastError, "nowhere.invalid") {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
}

// A peer whose clock is an hour off shows certificates that are not valid here: that is counted each time and told
// once, with the remedy, and everything else goes on.
func TestClockAnHourOff(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		off    time.Duration
		ttl    time.Duration
		reason string
	}{
		"ahead":  {time.Hour, 0, certs.ReasonNotYetValid},
		"behind": {-time.Hour, 30 * time.Minute, certs.ReasonExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, c := newSite(t, "aa"), newSite(t, "bb"), newSite(t, "cc")
			vip, app := newAddress(), newAddress()
			startApp(t, "app", app)
			a.write(t, "shop.yaml", serviceManifest("shop", vip, endpoint{app, "aa-1"}))
			a.trust(t, b, b.tunnel())
			a.trust(t, c, c.tunnel())
			c.trust(t, a)
			runNode(t, b, tt.off, tt.ttl)
			c.start(t)
			p := a.start(t)
			p.connected(t, "cc")
			mustCall(t, vip, "app")
			eventually(t, "the refusal is counted", func() error {
				if p.metric(t, "eastway_tunnel_handshakes_refused_total", `reason="`+tt.reason+`"`) >= 6 { // three times, both transports
					return nil
				}
				return errors.New("not yet")
			})
			eventually(t, "status says why", func() error {
				for _, ps := range p.status(t).Peers {
					if ps.Peer == "bb" && ps.State == "disconnected" && strings.Contains(ps.LastError, tt.reason) &&
						strings.Contains(ps.LastError, "our clock says") && strings.Contains(ps.LastError, "clocks of both sides") {
						return nil
					}
				}
				return fmt.Errorf("%+v", p.status(t).Peers)
			})
			mustCall(t, vip, "app")
			told := p.stderr.lines(t, map[string]any{"msg": "tunnel to peer is down, dialing again", "peer": "bb"})
			if len(told) != 1 || told[0]["level"] != "warn" || !strings.Contains(fmt.Sprint(told[0]["error"]), "clocks of both sides") {
				t.Errorf("the log, want one line that names the clocks: %v", told)
			}
		})
	}
}

// runNode runs the tunnels of a site whose clock is off: an hour cannot be taken from a whole process.
func runNode(t *testing.T, s *site, off, ttl time.Duration) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	now := func() time.Time { return time.Now().Add(off) }
	ca, err := certs.OpenCA(s.ca, certs.Options{Now: now})
	fatal(err)
	source, err := certs.NewCASource(certs.CASourceConfig{CA: ca, Name: s.name, TTL: ttl})
	fatal(err)
	auth, err := certs.NewAuthenticator(certs.Config{Source: source, Now: now})
	fatal(err)
	node, err := tunnel.New(t.Context(), tunnel.Config{Cluster: s.name, Listen: s.tunnel(), Credentials: auth, Reason: certs.Reason})
	fatal(err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Certificates that another process renews in files are taken without touching a lane or a stream.
func TestRenewalKeepsLanes(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	vipA, vipB, app := newAddress(), newAddress(), newAddress()
	startApp(t, "app", app)
	a.write(t, "shop.yaml", serviceManifest("shop", vipA))
	b.write(t, "shop.yaml", serviceManifest("shop", vipB, endpoint{app, "bb-1"}))
	a.trust(t, b, b.tunnel())
	b.trust(t, a)
	svid := filepath.Join(a.dir, "svid")
	issue := func(ttl string) {
		mustRun(t, "certs", "issue", "--dir", a.ca, "--cluster", "aa", "--out", svid, "--ttl", ttl)
	}
	issue("1h")
	pa, pb := a.start(t, "--ca", "", "--svid", svid), b.start(t)
	pa.serves(t, "shop", "bb")
	c, err := dialService(t, vipA)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		t.Helper()
		if got, err := c.ask("hello"); err != nil || got != "app" {
			t.Fatalf("answered by %q, %v", got, err)
		}
	}
	ask()
	lanes := pa.lanes(t, 4) // control, two over TCP, one over QUIC
	before := pa.metric(t, "eastway_certs_svid_expiry_timestamp_seconds")
	const times = 3
	for i := range times {
		issue(fmt.Sprintf("%dh", 2+i))
		eventually(t, "the new certificate is used", func() error {
			if expiry := pa.metric(t, "eastway_certs_svid_expiry_timestamp_seconds"); expiry < before+float64(i+1)*3000 {
				return fmt.Errorf("expires at %f", expiry)
			}
			return nil
		})
		ask()
	}
	if n := pa.metric(t, "eastway_certs_renewals_total", `result="success"`); n != times {
		t.Errorf("%v renewals, want %d", n, times)
	}
	if now := pa.lanes(t, 4); now != lanes {
		t.Errorf("lanes are now\n%s, were\n%s", now, lanes)
	}
	if n := pb.metric(t, "eastway_tunnel_link_state_changes_total"); n != 0 {
		t.Errorf("%v changes of the link", n)
	}
}
