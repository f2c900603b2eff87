package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

const good = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: infra}
spec:
  gatewayClassName: eastway
  listeners: [{name: http, port: 8080, protocol: HTTP}]
---
apiVersion: v1
kind: Secret
metadata: {name: cert}
type: kubernetes.io/tls
stringData: {tls.crt: a}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: db}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-a, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
`

// A manifest that cannot be used any more stays as it was, and the error says where it is wrong.
func TestLastGoodStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(dir)
	read := func(gateways int, errs ...string) {
		t.Helper()
		m, got, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Gateways) != gateways {
			t.Errorf("%d gateways, want %d", len(m.Gateways), gateways)
		}
		if len(got) != len(errs) {
			t.Fatalf("errors %v, want %q", got, errs)
		}
		for i, want := range errs {
			if !strings.Contains(got[i].Error(), want) {
				t.Errorf("error %q, want %q", got[i].Error(), want)
			}
		}
	}
	write("a.yaml", good)
	read(1)
	m, _, _ := r.Read()
	if m.Namespaces["shop"]["team"] != "a" || len(m.Secrets) != 1 || len(m.Slices) != 1 || m.Slices[0].Namespace != "default" ||
		len(m.GRPCRoutes) != 1 || len(m.ConfigMaps) != 1 || len(m.TLSPolicies) != 1 ||
		m.Secrets[0].Namespace != "default" || string(m.Secrets[0].Data["tls.crt"]) != "a" {
		t.Errorf("%+v", m)
	}
	if got := (types.NamespacedName{Namespace: m.Gateways[0].Namespace, Name: m.Gateways[0].Name}).String(); got != "infra/public" {
		t.Error(got)
	}
	write("a.yaml", strings.Replace(good, "port: 8080", "port: high", 1))
	read(1, "a.yaml:6: document 1: spec.listeners[0].port")
	write("a.yaml", strings.Replace(good, "gatewayClassName", "className", 1))
	read(1, "unknown field")
	write("a.yaml", "kind: [")
	read(1, "invalid YAML")
	write("a.yaml", "")
	read(1, "the file is empty")
	write("a.yaml", good)
	write("b.yaml", strings.Split(good, "---")[0])
	read(1, "b.yaml:3: document 1: metadata.name: Gateway infra/public is in a.yaml already")
	for _, name := range []string{"a.yaml", "b.yaml"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	read(0)
	if _, _, err := NewReader(filepath.Join(dir, "none")).Read(); err == nil || !strings.Contains(err.Error(), "create this one") {
		t.Error(err)
	}
}

// One file too many does not drop one that is served.
func TestTooManyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string) {
		t.Helper()
		text := fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: s-%s}\n", strings.TrimSuffix(name, ".yaml"))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxFiles {
		write(fmt.Sprintf("b%d.yaml", i))
	}
	r := NewReader(dir)
	if m, errs, err := r.Read(); err != nil || len(errs) > 0 || len(m.Services) != maxFiles {
		t.Fatalf("%v, %v", errs, err)
	}
	write("a.yaml")
	write("c.yaml")
	m, errs, err := r.Read()
	if err != nil || len(errs) != 1 || !strings.Contains(errs[0].Error(), "a.yaml: this file and 1 others are not read") {
		t.Fatalf("%v, %v", errs, err)
	}
	for _, s := range m.Services {
		if s.Name == "s-a" || s.Name == "s-c" || len(m.Services) != maxFiles {
			t.Errorf("%s, of %d", s.Name, len(m.Services))
		}
	}
}
