package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/eastway/eastway/internal/admin"
)

// A proxy that may open few files refuses connections at once, and goes on with all else: it reports its state, reads manifests, and
// keeps its tunnels, whatever connects to their port.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	const files = 96
	east, west := newSite(t, "east"), newSite(t, "west")
	vip, app := newAddress(), newAddress()
	startApp(t, "app", app)
	west.write(t, "shop.yaml", serviceManifest("shop", newAddress(), endpoint{app, "west-1"}))
	east.write(t, "shop.yaml", serviceManifest("shop", vip))
	east.trust(t, west, west.tunnel())
	west.trust(t, east)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("ulimit -n %d && exec %q \"$@\"", files, exe)
	flags := west.flags("--max-streams", "1000", "--max-streams-per-peer", "1000")
	startProgram(t, false, "/bin/sh", append([]string{"-c", script, "proxy"}, flags...)...)
	p := &proxyRun{site: west, ended: make(chan struct{})}
	eventually(t, "west is ready", func() error { return p.readyz(t) })
	caller := east.start(t)
	eventually(t, "a first call", func() error { _, err := call(t, vip); return err })
	refused := 0
	for range files {
		c, err := dialService(t, vip)
		if errors.Is(err, syscall.ECONNRESET) { // so soon that connect returns it
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.ask("hello"); err != nil {
			refused++
		}
	}
	if refused == 0 || refused == files {
		t.Errorf("%d of %d connections are refused", refused, files)
	}
	for range 2 * files { // that never prove who they are
		if c, err := net.Dial("tcp", west.tunnel()); err != nil {
			t.Error(err)
		} else {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	eventually(t, "most of those that prove nothing are closed", func() error {
		if n := p.metric(t, "eastway_tunnel_handshakes_refused_total"); n < files {
			return fmt.Errorf("%v are", n)
		}
		return nil
	})
	eventually(t, "all refused calls count as limited", func() error {
		if n := caller.metric(t, "eastway_connections_total", `result="limit"`); n != float64(refused) {
			return fmt.Errorf("%v do, %d were refused", n, refused)
		}
		return nil
	})
	if code, _, err := p.get(t, admin.PathReadyz); code != 200 || err != nil {
		t.Errorf("readyz: %d %v", code, err)
	}
	if said := strings.Join(p.status(t).Errors, "\n"); !strings.Contains(said, "LimitNOFILE") || strings.Contains(said, "port: connections refused") {
		t.Errorf("status says %q", said)
	}
	west.write(t, "more.yaml", serviceManifest("more", newAddress(), endpoint{app, "west-1"}))
	eventually(t, "the new manifest is used", func() error {
		if st := p.status(t); len(st.Services) != 2 {
			return fmt.Errorf("%+v", st.Services)
		}
		return nil
	})
}
