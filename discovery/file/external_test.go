package file

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
)

const mydb = `apiVersion: eastway.dev/v1alpha1
kind: ExternalService
metadata: {name: mydb, namespace: shop}
spec:
  hosts: [mydb.com]
  addresses: [127.1.0.9]
  ports: [{name: http, number: 80, protocol: HTTP, targetPort: 443}, {name: pg, number: 5432}]
  endpoints:
  - {address: db.west.test, locality: west/west-a, ports: {http: 81}}
  - {address: 192.0.2.1, locality: east}
`

// An ExternalService is a service of the catalog, with its names as they are.
func TestExternalService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	s := newStore(&cfg)
	write(t, dir, "a.yaml", mydb+`---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: mydb, namespace: shop}
---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: mydb, namespace: shop}
spec: {targetRef: {group: eastway.dev, kind: ExternalService, name: mydb}, outlierDetection: {consecutive5xxErrors: 1}}
`)
	local, errs, err := s.load()
	if err != nil || len(errs) > 0 {
		t.Fatal(errs, err)
	}
	name := discovery.ServiceName{Namespace: "shop", Name: "mydb"}
	got := local.Services.Get(name)
	if got == nil || local.Policies.Get(name) == nil {
		t.Fatalf("%+v", got)
	}
	want := &discovery.External{Hosts: []string{"mydb.com"}, Endpoints: []discovery.ExternalEndpoint{
		{Host: "db.west.test", Locality: discovery.Locality{Region: "west", Zone: "west-a"}, Ports: map[uint16]uint16{80: 81, 5432: 5432}},
		{Host: "192.0.2.1", Locality: discovery.Locality{Region: "east"}, Ports: map[uint16]uint16{80: 443, 5432: 5432}},
	}}
	if !reflect.DeepEqual(got.External, want) {
		t.Errorf("got  %+v\nwant %+v", got.External, want)
	}
	write(t, dir, "a.yaml", mydb+`  tls: {mode: MUTUAL, sni: db.test, subjectAltNames: [a.test, b.test],
    caCertificates: /ca, clientCertificate: /crt, privateKey: /key}
`)
	if local, errs, err = s.load(); err != nil || len(errs) > 0 {
		t.Fatal(errs, err)
	}
	want.TLS = &discovery.TLS{
		Service: name, Mode: "MUTUAL", SNI: "db.test", Host: "mydb.com", Names: []string{"a.test", "b.test"},
		CAFile: "/ca", CertFile: "/crt", KeyFile: "/key",
	}
	if with := local.Services.Get(name); !reflect.DeepEqual(with.OutsideTLS(), want.TLS) || got.OutsideTLS() != nil {
		t.Errorf("got  %+v\nwant %+v", with.OutsideTLS(), want.TLS)
	}
	if len(got.Endpoints) > 0 || got.Private || got.Export == nil {
		t.Errorf("%+v", got)
	}
	if l := fmt.Sprint(got.Listeners); !strings.Contains(l, "127.1.0.9:80 ") || !strings.Contains(l, "127.1.0.9:5432 ") {
		t.Errorf("listeners %s", l)
	}
	if p := got.Ports; len(p) != 2 || !p[0].HTTP || p[1].HTTP || p[1].Protocol != discovery.TCP {
		t.Errorf("ports %+v", p)
	}
}

// What an ExternalService cannot have, or have no use of, is said with its line.
func TestExternalServiceFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		used  bool
		want  string // "" means none
	}{
		"alone": {map[string]string{"a.yaml": mydb}, true, ""},
		"no address": {
			map[string]string{"a.yaml": strings.Replace(mydb, "  addresses: [127.1.0.9]\n", "", 1)},
			true,
			"a.yaml:4: document 1: warning: spec.addresses: not set: callers have no address for this ExternalService here",
		},
		"a Service of that name": {
			map[string]string{"a.yaml": strings.Replace(service("mydb", 80), "{name", "{namespace: shop, name", 1), "b.yaml": mydb},
			false,
			"b.yaml:3: document 1: metadata.name: Service shop/mydb has this name: this ExternalService is ignored; give it another name",
		},
		"an alias of that name": {
			map[string]string{
				"a.yaml": "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: mydb}\n" +
					"spec: {type: ExternalName, externalName: x.test}\n",
				"b.yaml": mydb,
			}, false, "Service shop/mydb has this name: this ExternalService is ignored",
		},
		"an address that is taken": {
			map[string]string{"a.yaml": service("a", 80), "b.yaml": strings.Replace(mydb, "127.1.0.9", "127.1.0.1", 1)},
			true,
			"127.1.0.1:80 is already the address of Service default/a in a.yaml: this ExternalService is not listened for on 127.1.0.1",
		},
		"endpoints of Kubernetes": {
			map[string]string{"a.yaml": mydb, "b.yaml": `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: x, namespace: shop, labels: {kubernetes.io/service-name: mydb}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [127.1.0.8]}]
`}, true, "there is no Service shop/mydb: its endpoints are not used",
		},
		"a field of Istio": {
			map[string]string{"a.yaml": mydb + "  location: MESH_EXTERNAL\n"},
			false,
			`a.yaml:11: document 1: spec.location: unknown field; calls to what is outside take no tunnel: remove it`,
		},
		"TLS": {map[string]string{"a.yaml": mydb + "  tls: {mode: SIMPLE}\n"}, true, ""},
		"TLS that verifies nothing": {
			map[string]string{"a.yaml": mydb + "  tls: {mode: SIMPLE, insecureSkipVerify: true}\n"},
			false,
			`a.yaml:11: document 1: spec.tls.insecureSkipVerify: unknown field; an endpoint has to prove what it is`,
		},
		"a Secret": {
			map[string]string{"a.yaml": mydb + "  tls: {mode: SIMPLE, credentialName: mydb-tls}\n"},
			false,
			`a.yaml:11: document 1: spec.tls.credentialName: Secrets are for Kubernetes: name files by caCertificates`,
		},
		"a typing error": {
			map[string]string{"a.yaml": strings.Replace(mydb, "targetPort", "targetport", 1)},
			false,
			"a.yaml:7: document 1: spec.ports[0].targetport: unknown field, perhaps targetPort is meant; docs/external.md lists the fields",
		},
		"a wrong value": {
			map[string]string{"a.yaml": strings.Replace(mydb, "192.0.2.1", "192.0.2.1:80", 1)},
			false,
			"a.yaml:10: document 1: spec.endpoints[1].address: Invalid value: \"192.0.2.1:80\": must be an IP address or a DNS name, without a port",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := config(dir)
			s := newStore(&cfg)
			for name, text := range c.files {
				write(t, dir, name, text)
			}
			local, errs, err := s.load()
			if err != nil {
				t.Fatal(err)
			}
			got := local.Services.Get(discovery.ServiceName{Namespace: "shop", Name: "mydb"})
			if used := got != nil && got.External != nil; used != c.used {
				t.Errorf("it is used: %t", used)
			}
			if c.want == "" && len(errs) == 0 {
				return
			}
			var texts []string
			for _, e := range errs {
				texts = append(texts, e.Error())
			}
			if text := strings.Join(texts, "\n"); c.want == "" || !strings.Contains(text, c.want) {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}
