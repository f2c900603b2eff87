package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/command"
)

// occupy listens on the address, as another process would.
func occupy(t *testing.T, network, address string) func() {
	t.Helper()
	var lc net.ListenConfig
	if network == "udp" {
		conn, err := lc.ListenPacket(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		return func() { conn.Close() }
	}
	ln, err := lc.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	return func() { ln.Close() }
}

// Ports of the proxy itself that are busy end the start, with nothing left open.
func TestBusyOwnPort(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		network string
		address func(*site) string
		want    []string
	}{
		"tunnels, TCP": {"tcp", (*site).tunnel, []string{"listen for tunnels on TCP ", "choose another port (--listen)"}},
		"tunnels, UDP": {"udp", (*site).tunnel, []string{"listen for tunnels on UDP ", "choose another port (--listen)"}},
		"admin":        {"tcp", (*site).admin, []string{"--admin: admin: listen on ", "end it or choose another"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "aa")
			free := occupy(t, tt.network, tt.address(s))
			got := runCommand(t, s.flags()...)
			free()
			if got.code != command.Failure {
				t.Errorf("exit code %d, want %d", got.code, command.Failure)
			}
			for _, want := range append(tt.want, tt.address(s)) {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("the error does not say %q: %s", want, got.stderr)
				}
			}
			s.start(t) // every port is free again
		})
	}
}

// A service port that is busy is tried again until it is free; other services do not wait for it.
func TestBusyServicePort(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	busy, vip, app := newAddress(), newAddress(), newAddress()
	startApp(t, "app", app)
	s.write(t, "busy.yaml", serviceManifest("busy", busy, endpoint{app, "aa-1"}))
	s.write(t, "shop.yaml", serviceManifest("shop", vip, endpoint{app, "aa-1"}))
	at := net.JoinHostPort(busy, servicePort)
	free := occupy(t, "tcp", at)
	defer free()
	p := s.start(t)
	mustCall(t, vip, "app")
	said := strings.Join(p.status(t).Errors, "\n")
	for _, want := range []string{at, "default/busy", "address already in use", "another process listens there: stop it, or change"} {
		if !strings.Contains(said, want) {
			t.Errorf("status does not say %q: %s", want, said)
		}
	}
	if n := p.metric(t, "eastway_failover_listener_errors"); n != 1 {
		t.Errorf("%v listener errors, want 1", n)
	}
	free()
	eventually(t, "the service is served", func() error { _, err := call(t, busy); return err })
	eventually(t, "the error is gone", func() error {
		if st := p.status(t); len(st.Errors) > 0 || p.metric(t, "eastway_failover_listener_errors") != 0 {
			return fmt.Errorf("%v", st.Errors)
		}
		return nil
	})
	if n := len(p.stderr.lines(t, map[string]any{"msg": "cannot listen"})); n != 1 {
		t.Errorf("%d lines in the log, want one however often it was tried", n)
	}
	if len(p.stderr.lines(t, map[string]any{"msg": "listener recovered"})) != 1 {
		t.Error(errors.New("the log does not report that it listens now"))
	}
}
