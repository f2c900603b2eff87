package file

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/eastway/eastway/discovery"
)

// FuzzFile: whatever a file holds, it is read without harm, each error has a line within it, and what comes of it is
// fit to be sent to peers.
func FuzzFile(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "broken", "*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(echoYAML))
	f.Add([]byte(annotated("a", 80, "http")))
	f.Add([]byte("\r\r0"))
	f.Add([]byte("apiVersion: 0\nkind:erviCe")) // no YAML, of a kind that looks like Service
	cfg := config("unused")
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newParser(&cfg)
		out := p.file("x.yaml", data)
		local, errs := assemble(out.objects, out.refused, &cfg)
		lines := 2
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // all of them end a line of YAML
			lines += bytes.Count(data, []byte(end))
		}
		for _, e := range append(errs, out.errs...) {
			if e.File != "x.yaml" || e.Document < 1 || e.Line < 1 || e.Line > lines || e.Message == "" {
				t.Errorf("error %+v in a file of %d lines", e, lines)
			}
		}
		for n, s := range local.Services.All() {
			if len(s.Ports) > discovery.MaxPorts || len(s.Addresses) > discovery.MaxAddresses+1 || s.Name != n {
				t.Errorf("service %+v", s)
			}
			for _, port := range s.Ports {
				if port.Port == 0 || port.HTTP && port.Protocol != discovery.TCP {
					t.Errorf("service %s has the port %+v", n, port)
				}
			}
		}
		for n, p := range local.Peers {
			if n == cfg.Cluster || p.Spec.SPIFFEID == cfg.SPIFFEID {
				t.Errorf("peer %+v is this cluster", p)
			}
		}
	})
}
