package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const zone = `apiVersion: eastway.dev/v1alpha1
kind: DNSZone
metadata: {name: lb.example.com}
spec:
  nameServers:
  - {name: ns1.lb.example.com, addresses: [192.0.2.53]}
  - {name: ns.example.net}
`

const shop = `apiVersion: eastway.dev/v1alpha1
kind: GlobalName
metadata: {name: shop.lb.example.com}
spec:
  entries:
  - {cluster: east, region: eu, addresses: [192.0.2.1], service: ingress/gateway}
  - {cluster: west, region: us, hostname: lb.west.example.net}
  services: [shop/cart]
  probe: {scheme: http, path: /healthz}
`

// dirOf writes files of alternating names and texts.
func dirOf(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		write(t, dir, files[i], files[i+1])
	}
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// after is the rest of a text.
func after(text, part string) string {
	_, rest, _ := strings.Cut(text, part)
	return rest
}

// read returns the names of what is served, and the errors.
func read(t *testing.T, r *Reader) (served, errs string) {
	t.Helper()
	c, faults, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	var names, texts []string
	for _, z := range c.Zones {
		names = append(names, z.Name)
	}
	for _, n := range c.Names {
		names = append(names, n.Name)
	}
	for _, f := range faults {
		texts = append(texts, f.Error())
	}
	return strings.Join(names, " "), strings.Join(texts, "\n")
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	const other = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n"
	c, errs, err := NewReader(dirOf(t, "zone.yaml", zone, "shop.yml", shop, "other.yaml", other)).Read()
	if err != nil || len(errs) > 0 {
		t.Fatal(errs, err)
	}
	s := c.Names[0].Spec
	p := s.Probe
	if s.TTL.Duration != DefaultTTL || s.Strategy != "roundRobin" || *s.Entries[1].Weight != 1 || p.Port != 80 || p.Host != "shop.lb.example.com" ||
		p.Interval.Duration != time.Second || p.Timeout.Duration != time.Second || p.UnhealthyThreshold != 2 || p.HealthyThreshold != 2 {
		t.Errorf("%+v", s)
	}
	z := c.Zone("shop.lb.example.com")
	if z == nil || z.Spec.Hostmaster != "hostmaster@lb.example.com" || z.Spec.NegativeTTL.Duration != DefaultNegativeTTL ||
		c.Zone("xlb.example.com") != nil {
		t.Errorf("%+v", z)
	}
}

func TestBadManifests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, replacement, want string }{
		{"a typing error", "services:", "service:", "spec.service: unknown field, perhaps services is meant"},
		{"no entries", strings.TrimSuffix(after(shop, "  entries:\n"), after(shop, "example.net}\n")), "", "spec.entries: 0 entries"},
		{"no address", "addresses: [192.0.2.1], ", "", "spec.entries[0].addresses: required"},
		{"both", "addresses: [192.0.2.1]", "addresses: [192.0.2.1], hostname: a.b", "spec.entries[0].hostname: the entry has addresses, too"},
		{"itself", "lb.west.example.net", "shop.lb.example.com", "spec.entries[1].hostname: it is the name itself"},
		{"no IP", "192.0.2.1]", "192.0.2.256]", `a.yaml:6: document 1: spec.entries[0].addresses[0]: "192.0.2.256" is no IP address`},
		{"unspecified", "192.0.2.1]", "0.0.0.0]", "no address that clients can reach"},
		{"mapped", "192.0.2.1]", "'::ffff:192.0.2.1']", "write a plain IPv4"},
		{"twice", "192.0.2.1]", "192.0.2.1, 192.0.2.1]", "is there twice"},
		{"cluster twice", "cluster: west", "cluster: east", "spec.entries[1].cluster: east has an entry already"},
		{"bad cluster", "cluster: west", "cluster: We.st", "no name of a cluster"},
		{"bad service", "ingress/gateway", "gateway", `spec.entries[0].service: "gateway" is not NAMESPACE/NAME`},
		{"strategy", "  services", "  strategy: random\n  services", `spec.strategy: "random" is none of [roundRobin failover weighted geo]`},
		{"geo without a table", "  services", "  strategy: geo\n  services", "spec.geo: required"},
		{"table without geo", "  services", "  geo: [{cidr: 10.0.0.0/8, region: eu}]\n  services", "spec.geo: it has no meaning"},
		{"bad prefix", "  services", "  strategy: geo\n  geo: [{cidr: 10.0.0.0, region: eu}]\n  services", "spec.geo[0].cidr"},
		{"bits", "  services", "  strategy: geo\n  geo: [{cidr: 10.1.0.0/8, region: eu}]\n  services", "write 10.0.0.0/8"},
		{"region", "  services", "  strategy: geo\n  geo: [{cidr: 10.0.0.0/8, region: cn}]\n  services", `no entry is in region "cn"`},
		{"ttl", "  services", "  ttl: 0.5s\n  services", "spec.ttl: 500ms is not within 1s and 1h"},
		{"ttl in parts of seconds", "  services", "  ttl: 1500ms\n  services", "DNS has whole seconds"},
		{"ttl without a unit", "  services", "  ttl: 5\n  services", "a duration has a unit"},
		{"weight", "region: us", "weight: -1", "spec.entries[1].weight: -1 is not within"},
		{"scheme", "scheme: http", "scheme: ftp", `spec.probe.scheme: "ftp" is none of http, https and tcp`},
		{"tcp without a port", "{scheme: http, path: /healthz}", "{scheme: tcp}", "spec.probe.port: 0 is no port"},
		{"tcp with a path", "scheme: http", "scheme: tcp, port: 80", "spec.probe: host and path"},
		{"path", "path: /healthz", "path: healthz", "spec.probe.path"},
		{"no certificate", "scheme: http", "scheme: https, caBundle: x", "spec.probe.caBundle: it has no certificate"},
		{"wildcard", "{name: shop.lb.example.com}", `{name: "*.lb.example.com"}`, "wildcards are not served"},
		{"in no zone", "shop.lb.example.com", "shop.example.com", "metadata.name: shop.example.com lies in no DNSZone"},
		{"a name server", "{name: shop.lb.example.com}", "{name: ns1.lb.example.com}", "is a name server of the zone"},
		{"upper case", "{name: shop.lb", "{name: Shop.lb", "metadata.name: \"Shop.lb.example.com\" is no DNS name"},
		{"another version", "eastway.dev/v1alpha1", "eastway.dev/v1", "kind: eastway.dev/v1 GlobalName is not a kind that the DNS reads"},
		{"a kind with a typing error", "GlobalName", "GlobalNames", "is not a kind that the DNS reads"},
		{"no YAML", "spec:", "spec", "a.yaml:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(shop, tt.old, tt.replacement, 1)
			if text == shop {
				t.Fatalf("%q is not there", tt.old)
			}
			served, errs := read(t, NewReader(dirOf(t, "a.yaml", text, "zone.yaml", zone)))
			if served != "lb.example.com" || !strings.Contains(errs, tt.want) {
				t.Errorf("served: %s; errors:\n%s\nwant %s", served, errs, tt.want)
			}
		})
	}
}

func TestBadZones(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, replacement, want string }{
		{"no servers", after(zone, "  nameServers:"), " []\n", "spec.nameServers: 0 name servers"},
		{"no address inside", ", addresses: [192.0.2.53]", "", "spec.nameServers[0].addresses: required"},
		{"an address outside", "{name: ns.example.net}", "{name: ns.example.net, addresses: [192.0.2.54]}", "lies outside the zone"},
		{"twice", "{name: ns.example.net}", "{name: ns1.lb.example.com, addresses: [192.0.2.54]}", "is there twice"},
		{"itself", "{name: ns1.lb.example.com", "{name: lb.example.com", "it is the zone itself"},
		{"mail", "spec:", "spec:\n  hostmaster: me", "spec.hostmaster"},
		{"negative TTL", "spec:", "spec:\n  negativeTTL: 2h", "spec.negativeTTL"},
		{"a dot", "{name: ns.example.net}", "{name: ns.example.net.}", "leave the dot at the end out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(zone, tt.old, tt.replacement, 1)
			if text == zone {
				t.Fatalf("%q is not there", tt.old)
			}
			served, errs := read(t, NewReader(dirOf(t, "zone.yaml", text)))
			if served != "" || !strings.Contains(errs, tt.want) {
				t.Errorf("served: %s; errors:\n%s\nwant %s", served, errs, tt.want)
			}
		})
	}
	inner := strings.ReplaceAll(zone, "lb.example.com", "eu.lb.example.com")
	if served, errs := read(t, NewReader(dirOf(t, "a.yaml", zone, "b.yaml", inner))); served != "eu.lb.example.com" ||
		!strings.Contains(errs, "lie within each other") {
		t.Errorf("%s, %s", served, errs)
	}
}

// A manifest that is damaged while the server runs stays as it was; one that is removed is gone.
func TestReaderKeepsWhatWorked(t *testing.T) {
	t.Parallel()
	dir := dirOf(t, "zone.yaml", zone, "shop.yaml", shop)
	r := NewReader(dir)
	const all = "lb.example.com shop.lb.example.com"
	if served, errs := read(t, r); served != all || errs != "" {
		t.Fatal(served, errs)
	}
	for _, damaged := range []string{
		strings.Replace(shop, "scheme: http", "scheme: ftp", 1),
		strings.Replace(shop, "kind: GlobalName", "kind: GlobalNam", 1),
		strings.Replace(shop, "services: [", "services: [[", 1),
		shop[:40], "\x00",
	} {
		write(t, dir, "shop.yaml", damaged)
		// Of a file that is cut after its kind began nothing is known to be wrong.
		if served, errs := read(t, r); served != all || len(damaged) != 40 && !strings.HasPrefix(errs, "shop.yaml") {
			t.Errorf("%q\nserved: %s; errors: %s", damaged, served, errs)
		}
	}
	write(t, dir, "zone.yaml", strings.Replace(zone, "nameServers", "servers", 1))
	if served, errs := read(t, r); served != all || !strings.Contains(errs, "zone.yaml:5") {
		t.Errorf("served: %s; errors: %s", served, errs)
	}
	write(t, dir, "zone.yaml", zone)
	write(t, dir, "shop.yaml", strings.ReplaceAll(shop, "192.0.2.1", "192.0.2.9"))
	if c, errs, err := r.Read(); err != nil || len(errs) > 0 || c.Names[0].Spec.Entries[0].Addresses[0] != "192.0.2.9" {
		t.Errorf("%v, %v", errs, err)
	}
	write(t, dir, "zz.yaml", shop)
	const twice = "zz.yaml:3: document 1: metadata.name: GlobalName shop.lb.example.com is in shop.yaml already"
	if served, errs := read(t, r); served != all || !strings.Contains(errs, twice) {
		t.Errorf("served: %s; errors: %s", served, errs)
	}
	for _, name := range []string{"zz.yaml", "shop.yaml"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if served, errs := read(t, r); served != "lb.example.com" || errs != "" {
		t.Errorf("served: %s; errors: %s", served, errs)
	}
	if _, _, err := NewReader(filepath.Join(dir, "nope")).Read(); err == nil || !strings.Contains(err.Error(), "create this one") {
		t.Errorf("%v", err)
	}
}
