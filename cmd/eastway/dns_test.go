package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/dns/watch"
)

// startDNS runs a DNS server with one name until the test ends. It returns a function for what it answers, as `eastway dns explain` prints it: the
// clusters that clients are led to, sorted, and what the data plane says of each.
func startDNS(t *testing.T, proxy string, entries ...string) func() (answered, data string, err error) {
	t.Helper()
	at, dir := newAddress(), t.TempDir()
	text := fmt.Sprintf(`apiVersion: eastway.dev/v1alpha1
kind: DNSZone
metadata: {name: lb.example.com}
spec:
  nameServers: [{name: ns1.lb.example.com, addresses: [192.0.2.53]}]
---
apiVersion: eastway.dev/v1alpha1
kind: GlobalName
metadata: {name: shop.lb.example.com}
spec:
  services: [default/shop]
  probe: {scheme: tcp, port: %s, timeout: 10s}
  entries:
%s
`, servicePort, strings.Join(entries, "\n"))
	if err := os.WriteFile(filepath.Join(dir, "dns.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := net.JoinHostPort(at, adminPort)
	ctx, end := context.WithCancel(t.Context())
	ended, log := make(chan int, 1), &record{}
	go func() {
		ended <- run(ctx, []string{
			"dns", "--config", dir, "--listen", net.JoinHostPort(at, "5353"), "--admin", admin, "--proxy", proxy, "--allow-loopback",
		}, log, log)
	}()
	t.Cleanup(func() {
		end()
		if code := <-ended; code != command.OK || t.Failed() {
			t.Errorf("exit code %d:\n%s", code, log)
		}
	})
	return func() (answered, data string, err error) {
		got := runCommand(t, "dns", "explain", "shop.lb.example.com", "-o", "json", "--admin", admin)
		var r watch.Report
		if got.code != command.OK {
			return "", "", fmt.Errorf("%s", got.stderr)
		}
		if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
			return "", "", err
		}
		var in, said []string
		for _, e := range r.Names[0].Entries {
			said = append(said, e.Cluster+" "+e.DataPlane)
			for _, a := range e.Addresses {
				if a.Answered {
					in = append(in, e.Cluster)
				}
			}
		}
		slices.Sort(in)
		return strings.Join(in, " "), strings.Join(said, ", "), nil
	}
}

// What a peer's services can do reaches the DNS over the tunnel and the proxy's admin listener.
func TestDNSKnowsWhatPeersCanServe(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	vipA, appA, vipB, appB := newAddress(), newAddress(), newAddress(), newAddress()
	startApp(t, "a", appA)
	startApp(t, "b", appB)
	a.write(t, "shop.yaml", serviceManifest("shop", vipA, endpoint{appA, "aa-1"}))
	b.write(t, "shop.yaml", serviceManifest("shop", vipB, endpoint{appB, "bb-1"}))
	a.trust(t, b, b.tunnel())
	b.trust(t, a)
	b.start(t)
	a.start(t).connected(t, "bb")
	explain := startDNS(t, a.admin(),
		fmt.Sprintf("  - {cluster: aa, addresses: [%s]}", appA), fmt.Sprintf("  - {cluster: bb, addresses: [%s]}", appB))
	sees := func(what, answered, data string) {
		t.Helper()
		eventually(t, what, func() error {
			in, said, err := explain()
			if err == nil && (in != answered || said != data) {
				err = fmt.Errorf("%q, %q", in, said)
			}
			return err
		})
	}
	sees("both can serve", "aa bb", "aa CAN_SERVE, bb CAN_SERVE")
	b.write(t, "shop.yaml", serviceManifest("shop", vipB))
	sees("the peer has no endpoint", "aa", "aa CAN_SERVE, bb CANNOT_SERVE")
	b.write(t, "shop.yaml", serviceManifest("shop", vipB, endpoint{appB, "bb-1"}))
	sees("the peer can serve again", "aa bb", "aa CAN_SERVE, bb CAN_SERVE")
	a.write(t, "shop.yaml", serviceManifest("shop", vipA))
	sees("the own cluster has no endpoint", "bb", "aa CANNOT_SERVE, bb CAN_SERVE")
}
