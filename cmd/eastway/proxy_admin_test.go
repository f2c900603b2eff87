package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
)

// The admin listener of a proxy that serves a call across a tunnel.
func TestAdmin(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	vipA, vipB, app := newAddress(), newAddress(), newAddress()
	startApp(t, "app", app)
	a.write(t, "shop.yaml", serviceManifest("shop", vipA))
	b.write(t, "shop.yaml", serviceManifest("shop", vipB, endpoint{app, "bb-1"}))
	a.trust(t, b, b.tunnel())
	b.trust(t, a)
	b.start(t)
	p := a.start(t)
	p.serves(t, "shop", "bb")
	mustCall(t, vipA, "app")

	for path, want := range map[string]string{
		admin.PathHealthz: "ok",
		admin.PathReadyz:  `"ready":true`,
		admin.PathStatus:  `"cluster":"aa"`,
		admin.PathEndpoints + "?service=default/shop": `"namespace":"default"`,
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		code, body, err := p.get(t, path)
		if err != nil || code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %v, without %q:\n%s", path, code, err, want, body)
		}
	}
	if code, _, err := p.get(t, "/nothing"); err != nil || code != http.StatusNotFound {
		t.Errorf("/nothing: %d, %v", code, err)
	}

	st := p.status(t)
	if st.Cluster != "aa" || st.Region != "region-aa" || st.Zone != "aa-1" || st.Replica == "" || st.Version == "" {
		t.Errorf("status %+v", st)
	}
	if len(st.Services) != 1 || len(st.Services[0].Peers) != 1 || st.Services[0].Peers[0].Ready != 1 {
		t.Errorf("services %+v", st.Services)
	}
	for _, l := range st.Peers[0].Links[0].Lanes {
		if l.Transport == "" || l.CongestionControl == "" || !strings.Contains(l.TLS, "TLS 1.3") || l.Local == "" || l.Remote == "" {
			t.Errorf("lane %+v", l)
		}
	}
	for name, want := range map[string]float64{
		"eastway_connections_total":        1,
		"eastway_tunnel_streams_total":     1,
		"eastway_discovery_services":       1,
		"eastway_failover_listener_errors": 0,
	} {
		eventually(t, name+" is right", func() error { // a connection is counted when it has ended
			if got := p.metric(t, name); got < want || want == 0 && got != 0 {
				return fmt.Errorf("it is %v, want %v", got, want)
			}
			return nil
		})
	}
	// Several clusters may be in one Prometheus.
	if total := p.metric(t, "eastway_tunnel_streams_total"); p.metric(t, "eastway_tunnel_streams_total", `cluster="aa"`) != total {
		t.Errorf("not all of the %v streams are labeled with the cluster", total)
	}
	if p.metric(t, "go_goroutines") == 0 || p.metric(t, "process_open_fds") == 0 {
		t.Error("metrics of the process are missing")
	}
}

// Commands that ask a proxy: a service that is not there, a proxy that is not there.
func TestAskingCommands(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	s.write(t, "shop.yaml", serviceManifest("shop", newAddress()))
	s.start(t)
	got := runCommand(t, "endpoints", "cart", "--admin", s.admin())
	if got.code != command.NotFound || !strings.Contains(got.stderr, "default/cart") {
		t.Errorf("endpoints of an unknown service: %+v", got)
	}
	if got := runCommand(t, "status", "cart", "--admin", s.admin()); got.code != command.NotFound || !strings.Contains(got.stderr, "default/cart") {
		t.Errorf("status of an unknown service: %+v", got)
	}
	if got := mustRun(t, "status", "default/", "--admin", s.admin()); !strings.Contains(got, "default/shop") {
		t.Errorf("status of a namespace:\n%s", got)
	}
	mustRun(t, "status", "shop", "--problems", "--admin", s.admin())
	got = runCommand(t, "status", "--admin", newAddress()+":1")
	if got.code != command.Unreachable || !strings.Contains(got.stderr, "is 'eastway proxy' running? (--admin)") {
		t.Errorf("status without a proxy: %+v", got)
	}
	var found admin.ServiceEndpoints
	if err := json.Unmarshal([]byte(mustRun(t, "endpoints", "default/shop", "-o", "json", "--admin", s.admin())), &found); err != nil {
		t.Fatal(err)
	}
	if found.Name != "shop" || found.Endpoints == nil || len(found.Endpoints) != 0 {
		t.Errorf("endpoints %+v", found)
	}
}

// The shell asks the command itself for words; services come from the running proxy.
func TestCompletion(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	s.write(t, "shop.yaml", serviceManifest("shop", newAddress())+"---\n"+serviceManifest("cart", newAddress()))
	s.start(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := mustRun(t, "completion", shell); !strings.Contains(got, "eastway") {
			t.Errorf("completion %s: %q", shell, got)
		}
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"endpoints", "--admin", s.admin(), ""}, "default/cart\ndefault/shop\n"},
		{[]string{"endpoints", "--admin", s.admin(), "default/shop", ""}, ":4\n"},
		{[]string{"status", "-o", ""}, "table\njson\n"},
		{[]string{"proxy", "--transports", ""}, "tcp\nquic\ntcp,quic\n"},
		{[]string{"proxy", "--log-level", ""}, "debug\ninfo\nwarn\nerror\n"},
		{[]string{"prox"}, "proxy\t"},
	} {
		got := runCommand(t, append([]string{"__complete"}, tt.args...)...)
		if got.code != command.OK || !strings.HasPrefix(got.stdout, tt.want) {
			t.Errorf("completing %q: %+v, want %q", tt.args, got, tt.want)
		}
	}
}
