package main

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
)

// replica is another proxy of the same cluster, with the same services on an address of its own.
func (s *site) replica(t *testing.T) *site {
	t.Helper()
	r := newSiteIn(t, t.TempDir(), s.name)
	r.ca = s.ca
	return r
}

// A proxy that gets SIGTERM finishes open connections, accepts new ones during its delay, sends peers elsewhere, and loses nothing.
func TestDrain(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	b2 := b.replica(t)
	vipA, vipB, vipB2, vipFar, app := newAddress(), newAddress(), newAddress(), newAddress(), newAddress()
	startApp(t, "app", app)
	a.write(t, "far.yaml", serviceManifest("far", newAddress(), endpoint{app, "aa-1"}))
	b.write(t, "far.yaml", serviceManifest("far", vipFar))
	a.write(t, "shop.yaml", serviceManifest("shop", vipA))
	b.write(t, "shop.yaml", serviceManifest("shop", vipB, endpoint{app, "bb-1"}))
	b2.write(t, "shop.yaml", serviceManifest("shop", vipB2, endpoint{app, "bb-1"}))
	a.trust(t, b, b.tunnel(), b2.tunnel())
	b.trust(t, a)
	b2.trust(t, a)
	pb := b.start(t, "--drain-delay", "2s", "--drain-timeout", "50s")
	b2.start(t)
	pa := a.start(t)
	pa.serves(t, "shop", "bb")
	pa.lanes(t, 8) // four to each replica
	pb.serves(t, "far", "aa")

	local, err := dialService(t, vipB)
	if err != nil {
		t.Fatal(err)
	}
	crossing := crossTo(t, pa, vipA, pb.status(t).Replica)
	mustAsk(t, local, crossing)

	stopLoad := load(t, vipA)
	pb.end()
	eventually(t, "the proxy is not ready", func() error {
		code, body, err := pb.get(t, admin.PathReadyz)
		if err != nil || code != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
			return fmt.Errorf("%d %s %w", code, body, err)
		}
		return nil
	})
	if code, body, err := pb.get(t, admin.PathServingz); err != nil || code != http.StatusOK {
		t.Errorf("it serves until it has ended: %d %s %v", code, body, err)
	}
	if _, err := call(t, vipB); err != nil {
		t.Errorf("a call during the delay: %v", err)
	}
	eventually(t, "peers get GoAway", func() error {
		for i := range pa.status(t).Peers[0].Links {
			if l := pa.status(t).Peers[0].Links[i]; l.State == "draining" {
				return nil
			}
		}
		return errors.New("not yet")
	})
	if _, err := call(t, vipFar); err != nil {
		t.Errorf("a call to the peer, after GoAway: %v", err)
	}
	eventually(t, "the listener is closed", func() error {
		if c, err := dialService(t, vipB); err == nil {
			c.Close()
			return errors.New("connected")
		}
		return nil
	})
	mustAsk(t, local, crossing) // both are still open
	select {
	case <-pb.ended:
		t.Fatal("it ended with connections open")
	default:
	}
	local.Close()
	crossing.Close()
	if pb.wait(t); pb.code != command.OK {
		t.Errorf("exit code %d:\n%s", pb.code, pb.stderr)
	}
	if calls, failed := stopLoad(); calls == 0 || failed != nil {
		t.Errorf("%d calls over the tunnel were answered, then: %v", calls, failed)
	}
	if len(pb.stderr.lines(t, map[string]any{"msg": "not everything ended in time"})) > 0 {
		t.Error("it waited for something")
	}
}

// With nothing open that it would wait for, a proxy still takes what peers sent before they heard that it goes away.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	b2 := b.replica(t)
	vipA, app := newAddress(), newAddress()
	startApp(t, "app", app)
	a.write(t, "shop.yaml", serviceManifest("shop", vipA))
	a.trust(t, b, b.tunnel(), b2.tunnel())
	for _, r := range []*site{b, b2} {
		r.write(t, "shop.yaml", serviceManifest("shop", newAddress(), endpoint{app, "bb-1"}))
		r.trust(t, a)
	}
	pb := b.start(t)
	b2.start(t)
	pa := a.start(t)
	pa.serves(t, "shop", "bb")
	pa.lanes(t, 8) // four to each replica
	var stops []func() (int, error)
	const callers = 4
	for range callers {
		stops = append(stops, load(t, vipA))
	}
	for pb.metric(t, "eastway_connections_total", `direction="inbound"`) == 0 {
		mustCall(t, vipA, "app")
	}
	if code := pb.stop(t); code != command.OK {
		t.Errorf("exit code %d", code)
	}
	for range 10 { // calls of the time after
		mustCall(t, vipA, "app")
	}
	for _, stop := range stops {
		if calls, failed := stop(); calls == 0 || failed != nil {
			t.Errorf("%d calls over the tunnel were answered, then: %v", calls, failed)
		}
	}
}

// crossTo opens connections to the service until one goes over a lane to that replica.
func crossTo(t *testing.T, p *proxyRun, vip, replica string) *caller {
	t.Helper()
	streams := func() int {
		n := 0
		for _, peer := range p.status(t).Peers {
			for i := range peer.Links {
				if peer.Links[i].Replica == replica {
					for _, l := range peer.Links[i].Lanes {
						n += l.Streams
					}
				}
			}
		}
		return n
	}
	var found *caller
	eventually(t, "a connection goes to "+replica, func() error {
		c, err := dialService(t, vip)
		if err != nil {
			return err
		}
		if _, err := c.ask("hello"); err != nil {
			return err
		}
		if streams() > 0 {
			found = c
			return nil
		}
		return errors.New("it went elsewhere") // and stays open, so that its replica is the busier one
	})
	return found
}

func mustAsk(t *testing.T, callers ...*caller) {
	t.Helper()
	for _, c := range callers {
		if got, err := c.ask("hello"); err != nil || got != "app" {
			t.Fatalf("answered by %q, %v", got, err)
		}
	}
}

// load calls again and again until the function that it returns is called, or a call fails.
func load(t *testing.T, vip string) (stop func() (calls int, failed error)) {
	t.Helper()
	var wg sync.WaitGroup
	end := make(chan struct{})
	var calls int
	var failed error
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			c, err := dialService(t, vip)
			if err == nil {
				_, err = c.ask("hello")
				c.Close()
			}
			if err != nil {
				failed = err
				return
			}
			calls++
		}
	})
	return func() (int, error) {
		close(end)
		wg.Wait()
		return calls, failed
	}
}

// What does not end in time is reset, and the log says how much that was.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	vip, app := newAddress(), newAddress()
	startApp(t, "app", app)
	s.write(t, "shop.yaml", serviceManifest("shop", vip, endpoint{app, "aa-1"}))
	p := s.start(t, "--drain-timeout", "100ms")
	c, err := dialService(t, vip)
	if err != nil {
		t.Fatal(err)
	}
	mustAsk(t, c)
	if code := p.stop(t); code != command.OK {
		t.Errorf("exit code %d", code)
	}
	if _, err := c.ask("hello"); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
	told := p.stderr.lines(t, map[string]any{"msg": "not everything ended in time"})
	if len(told) != 1 || !strings.Contains(fmt.Sprint(told[0]["error"]), "1 connections did not end in time") {
		t.Errorf("the log says %v", told)
	}
}

// The first signal lets what is open end; the second one ends the process at once.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	vip, app := newAddress(), newAddress()
	startApp(t, "app", app)
	s.write(t, "shop.yaml", serviceManifest("shop", vip, endpoint{app, "aa-1"}))
	log := filepath.Join(s.dir, "access.log")
	child := startChild(t, false, s.flags("--drain-timeout", "1h", "--access-log", log)...)
	p := &proxyRun{site: s, ended: make(chan struct{}), stderr: child.stderr}
	eventually(t, "the proxy is ready", func() error { return p.readyz(t) })
	c, err := dialService(t, vip)
	if err != nil {
		t.Fatal(err)
	}
	mustAsk(t, c)
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it drains", func() error {
		if len(child.stderr.lines(t, map[string]any{"msg": "draining"})) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	mustAsk(t, c)
	begun := time.Now()
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	state := child.wait(t)
	if ws, ok := state.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGTERM {
		t.Errorf("it ended as %v after %s, want by the signal", state, time.Since(begun))
	}
}

// A signal ends an idle proxy with exit code 0 and leaves nothing listening.
func TestSignal(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "aa")
			child := startChild(t, false, s.flags()...)
			p := &proxyRun{site: s, ended: make(chan struct{}), stderr: child.stderr}
			eventually(t, "the proxy is ready", func() error { return p.readyz(t) })
			if err := child.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if state := child.wait(t); state.ExitCode() != command.OK {
				t.Errorf("it ended as %v", state)
			}
		})
	}
}
