package file

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
)

// Loopback addresses are endpoints unless that is switched off; the proxy's own ports never are.
func TestGuardedEndpoints(t *testing.T) {
	t.Parallel()
	const manifests = `
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {clusterIP: 127.1.0.1, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{port: 15000}]
endpoints: [{addresses: [127.0.0.1]}, {addresses: [127.0.0.2]}, {addresses: [10.0.0.1]}]
`
	strict := &discovery.Guard{}
	lax := &discovery.Guard{AllowLoopback: true}
	for _, g := range []*discovery.Guard{strict, lax} {
		g.Own(netip.MustParseAddrPort("127.0.0.1:15000"))
	}
	const ownPort = "endpoints[0].addresses[0]: 127.0.0.1:15000 is the tunnel, admin or health port of a proxy: this endpoint is not used"
	for _, test := range []struct {
		name  string
		guard *discovery.Guard
		used  string
		want  string
	}{
		{"the default", nil, "10.0.0.1 127.0.0.1 127.0.0.2", ""},
		{"with loopback", lax, "10.0.0.1 127.0.0.2", ownPort},
		{"without", strict, "10.0.0.1", ownPort + ", nor are 1 more of this slice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "echo.yaml", manifests)
			cfg := config(dir)
			cfg.Guard = test.guard
			local, errs, err := newStore(&cfg).load()
			if err != nil {
				t.Fatal(err)
			}
			var used, texts []string
			for _, e := range local.Services.Get(discovery.ServiceName{Namespace: "default", Name: "echo"}).Endpoints[80] {
				used = append(used, e.Address.Addr().String())
			}
			for _, e := range errs {
				if e.Warning {
					t.Errorf("only a warning: %v", e)
				}
				texts = append(texts, e.Field+": "+e.Message)
			}
			if strings.Join(used, " ") != test.used || strings.Join(texts, "\n") != test.want {
				t.Errorf("%q used, %q", used, texts)
			}
		})
	}
}
