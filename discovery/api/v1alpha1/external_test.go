package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const externalService = `
metadata: {name: mydb, namespace: shop}
spec:
  hosts: [mydb.com]
  addresses: [10.9.0.1]
  ports:
  - {name: http, number: 80, protocol: HTTP, targetPort: 443}
  - {name: pg, number: 5432}
  endpoints:
  - {address: db.west.example.com, locality: west/west-a, ports: {http: 81}}
  - {address: 192.0.2.1, locality: east}
`

// Each change of a good ExternalService has exactly the error that it should.
func TestValidateExternalService(t *testing.T) {
	t.Parallel()
	many := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i+1))
		}
		return strings.Join(all, ", ")
	}
	const address, resolution = "address: 192.0.2.1", "hosts: [mydb.com]"
	for _, tt := range []struct{ old, new, want string }{
		{"", "", ""},
		{"name: mydb,", "", "metadata.name: Required value"},
		{"name: mydb,", "name: My.DB,", `metadata.name: Invalid value: "My.DB": a lowercase RFC 1123 label`},
		{"[mydb.com]", "[]", "spec.hosts: Required value: the DNS name by which"},
		{"[mydb.com]", "[mydb.com, mydb.com]", `spec.hosts[1]: Duplicate value: "mydb.com"`},
		{"[mydb.com]", `["*.mydb.com"]`, `spec.hosts[0]: Invalid value: "*.mydb.com": must be one name`},
		{"[mydb.com]", "[192.0.2.1]", `spec.hosts[0]: Invalid value: "192.0.2.1": must be a DNS name, not an IP address`},
		{"[mydb.com]", "[my_db]", `spec.hosts[0]: Invalid value: "my_db": a lowercase RFC 1123 subdomain`},
		{"[mydb.com]", "[" + many(17, "h%d.test") + "]", "spec.hosts: Too many: 17"},
		{"10.9.0.1", "mydb.com", `spec.addresses[0]: Invalid value: "mydb.com": must be an IP address that the proxy can listen on`},
		{"10.9.0.1", `"::%eth0"`, `spec.addresses[0]: Invalid value: "::%eth0": must be an IP address that`},
		{"10.9.0.1", "10.9.0.1, 10.9.0.1", `spec.addresses[1]: Duplicate value: "10.9.0.1"`},
		{"10.9.0.1", many(65, "10.9.0.%d"), "spec.addresses: Too many: 65"},
		{"name: pg,", "name: http,", `spec.ports[1].name: Duplicate value: "http"`},
		{"name: pg,", "", "spec.ports[1].name: Required value: such as http"},
		{"name: pg,", "name: p_g,", `spec.ports[1].name: Invalid value: "p_g"`},
		{"number: 5432", "number: 80", "spec.ports[1].number: Duplicate value: 80"},
		{"number: 5432", "number: 70000", "spec.ports[1].number: Invalid value: 70000: must be between 1 and 65535"},
		{"targetPort: 443", "targetPort: 70000", "spec.ports[0].targetPort: Invalid value: 70000"},
		{"protocol: HTTP", "protocol: MONGO", `spec.ports[0].protocol: Unsupported value: "MONGO": supported values: "HTTP", "HTTP2", "GRPC"`},
		{"{name: http, number: 80, protocol: HTTP, targetPort: 443}", "[]", "cannot unmarshal"},
		{resolution, resolution + "\n  resolution: NONE", `spec.resolution: Invalid value: "NONE": is not supported: name the endpoints`},
		{resolution, resolution + "\n  resolution: dns", `spec.resolution: Unsupported value: "dns": supported values: "DNS", "STATIC"`},
		{resolution, resolution + "\n  resolution: STATIC", `spec.endpoints[0].address: Invalid value: "db.west.example.com": must be an IP`},
		{address, "address: ''", "spec.endpoints[1].address: Required value: an IP address or a DNS name"},
		{address, "address: 0.0.0.0", `spec.endpoints[1].address: Invalid value: "0.0.0.0": must be an address that can be dialed`},
		{address, "address: db.example.com:443", `spec.endpoints[1].address: Invalid value: "db.example.com:443": must be an IP address or a`},
		{address, "address: unix:///x", `spec.endpoints[1].address: Invalid value: "unix:///x": must be an IP`},
		{"locality: east", "locality: east/*", `spec.endpoints[1].locality: Invalid value: "east/*": must be REGION or REGION/ZONE`},
		{"locality: east", "locality: a/b/c", `spec.endpoints[1].locality: Invalid value: "a/b/c": must be REGION or REGION/ZONE`},
		{"{http: 81}", "{web: 81}", `spec.endpoints[0].ports[web]: Invalid value: 81: no port of the service has the name "web"`},
		{"{http: 81}", "{http: 0}", `spec.endpoints[0].ports[http]: Invalid value: 0: must be between 1 and 65535`},
		{"endpoints:", "endpoints: [" + many(65, "{address: 10.0.0.%d}") + "]\nother:", "spec.endpoints: Too many: 65"},
	} {
		t.Run(tt.new, func(t *testing.T) {
			t.Parallel()
			text := externalService
			if tt.old != "" {
				text = strings.Replace(text, tt.old, tt.new, 1)
			}
			var e v1alpha1.ExternalService
			if err := yaml.Unmarshal([]byte(text), &e); err != nil {
				if tt.want == "" || !strings.Contains(err.Error(), tt.want) {
					t.Fatal(err)
				}
				return
			}
			errs := v1alpha1.ValidateExternalService(&e)
			if tt.want == "" && len(errs) == 0 {
				return
			}
			if tt.want == "" || len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", errs, tt.want)
			}
		})
	}
}

// Where calls go, by what the service and its endpoints say.
func TestExternalTargets(t *testing.T) {
	t.Parallel()
	var e v1alpha1.ExternalService
	if err := yaml.Unmarshal([]byte(externalService), &e); err != nil {
		t.Fatal(err)
	}
	got := ""
	where := e.Spec.Where()
	for i := range where {
		for j := range e.Spec.Ports {
			got += fmt.Sprintf("%s:%d ", where[i].Address, e.Spec.Ports[j].Target(&where[i]))
		}
	}
	if want := "db.west.example.com:81 db.west.example.com:5432 192.0.2.1:443 192.0.2.1:5432 "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e.Spec.Endpoints = nil
	if where = e.Spec.Where(); len(where) != 1 || where[0].Address != "mydb.com" || e.Spec.Ports[0].Target(&where[0]) != 443 {
		t.Errorf("without endpoints: %+v", where)
	}
	if !e.Spec.Ports[0].IsHTTP() || e.Spec.Ports[1].IsHTTP() {
		t.Error("which ports are HTTP")
	}
}
