package convert

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery/istio"
)

var update = flag.Bool("update", false, "write the golden files again")

func manifests(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "*", "*.yaml"))
	if err != nil || len(names) < 30 {
		t.Fatal(names, err)
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The manifests of the drills and many shapes that are common give what their golden files have: notes, a line of ===, and YAML.
func TestManifests(t *testing.T) {
	t.Parallel()
	for _, name := range manifests(t) {
		got, err := convert([]input{{filepath.Base(name), read(t, name)}}, false)
		if err != nil {
			t.Fatal(err)
		}
		var notes, out strings.Builder
		if err := got.write(&out, &notes); err != nil {
			t.Fatal(err)
		}
		golden(t, strings.TrimSuffix(name, ".yaml")+".golden", notes.String()+"===\n"+out.String())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(read(t, name)); got != want {
		t.Errorf("differs from %s (go test -update):\n%s\nwant:\n%s", name, got, want)
	}
}

// For a cluster, TLS has Secrets and no files.
func TestForCluster(t *testing.T) {
	t.Parallel()
	const entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec: {hosts: [db.example], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db, namespace: shop}
spec: {host: db.example, trafficPolicy: {tls: `
	for tls, want := range map[string]struct{ files, cluster string }{
		"{mode: MUTUAL, credentialName: db-client}":       {"refused", "changed"},
		"{mode: SIMPLE, caCertificates: /etc/ssl/db.pem}": {"", "refused"},
		"{mode: SIMPLE}": {"", ""},
	} {
		for cluster, want := range map[bool]string{false: want.files, true: want.cluster} {
			got, err := convert([]input{{"db.yaml", []byte(entry + tls + "}}\n")}}, cluster)
			if err != nil {
				t.Fatal(err)
			}
			refused, changed := got.count(istio.Refused), got.count(istio.Changed)
			if (refused > 0) != (want == "refused") || (changed > 0) != (want == "changed") || (len(got.yaml) > 0) != (want != "refused") {
				t.Errorf("%s, for a cluster %v: %d refused, %d changed, %s", tls, cluster, refused, changed, got.yaml)
			}
			if cluster && want == "changed" && !strings.Contains(string(got.yaml), "credentialName: db-client") {
				t.Errorf("%s", got.yaml)
			}
		}
	}
}
