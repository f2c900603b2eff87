package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
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
	c, errs, err := NewReader(dirOf(t, "zone.yaml", zone, "shop.yml", shop, "other.yaml", other), false).Read()
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
		{"loopback", "192.0.2.1]", "127.0.0.1]", "is a loopback address"},
		{"broadcast", "192.0.2.1]", "255.255.255.255]", "no address that clients can reach"},
		{"this network", "192.0.2.1]", "0.1.2.3]", "no address that clients can reach"},
		{"an address as a hostname", "lb.west.example.net", "192.0.2.9", "192.0.2.9 is an address"},
		{"a hostname in the zone", "lb.west.example.net", "west.lb.example.com", "west.lb.example.com lies in the zone lb.example.com"},
		{"timeout", "scheme: http", "scheme: http, timeout: 11s", "spec.probe.timeout: 11s is not within 100ms and 10s"},
		{"fragment", "path: /healthz", "path: '/a#b'", "has no #"},
		{"mapped prefix", "  services", "  strategy: geo\n  geo: [{cidr: '::ffff:10.0.0.0/104', region: eu}]\n  services", "write a plain IPv4"},
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
			served, errs := read(t, NewReader(dirOf(t, "a.yaml", text, "zone.yaml", zone), false))
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
		{"a mail user that is no label", "spec:", "spec:\n  hostmaster: " + strings.Repeat("x", 64) + "@a.b", "is too long for a DNS name"},
		{"a mail user that is no name", "spec:", "spec:\n  hostmaster: 'a;b@a.b'", "is no mail address of"},
		{"negative TTL", "spec:", "spec:\n  negativeTTL: 2h", "spec.negativeTTL"},
		{"a dot", "{name: ns.example.net}", "{name: ns.example.net.}", "leave the dot at the end out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(zone, tt.old, tt.replacement, 1)
			if text == zone {
				t.Fatalf("%q is not there", tt.old)
			}
			served, errs := read(t, NewReader(dirOf(t, "zone.yaml", text), false))
			if served != "" || !strings.Contains(errs, tt.want) {
				t.Errorf("served: %s; errors:\n%s\nwant %s", served, errs, tt.want)
			}
		})
	}
	inner := strings.ReplaceAll(zone, "lb.example.com", "eu.lb.example.com")
	if served, errs := read(t, NewReader(dirOf(t, "a.yaml", zone, "b.yaml", inner), false)); served != "lb.example.com" ||
		!strings.Contains(errs, "lie within each other") {
		t.Errorf("%s, %s", served, errs)
	}
}

// A manifest that is damaged while the server runs stays as it was; one that is removed is gone.
func TestReaderKeepsWhatWorked(t *testing.T) {
	t.Parallel()
	dir := dirOf(t, "zone.yaml", zone, "shop.yaml", shop)
	r := NewReader(dir, false)
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
	remove(t, dir, "zz.yaml", "shop.yaml")
	if served, errs := read(t, r); served != all || errs != "" { // it may be replaced right now
		t.Errorf("served: %s; errors: %s", served, errs)
	}
	if served, errs := read(t, r); served != "lb.example.com" || errs != "" {
		t.Errorf("served: %s; errors: %s", served, errs)
	}
	if _, _, err := NewReader(filepath.Join(dir, "nope"), false).Read(); err == nil || !strings.Contains(err.Error(), "create this one") {
		t.Errorf("%v", err)
	}
}

const all = "lb.example.com shop.lb.example.com"

// reread expects what is served after a change, and the errors, of two passes each: "" wants none.
func reread(t *testing.T, r *Reader, want, wantErr string) {
	t.Helper()
	for pass := range 2 {
		served, errs := read(t, r)
		if served != want || (errs == "") != (wantErr == "") || !strings.Contains(errs, wantErr) {
			t.Errorf("pass %d: served: %s, want %s; errors: %s, want %s", pass, served, want, errs, wantErr)
		}
	}
}

// What is served stays when something new conflicts with it.
func TestConflictsLeaveWhatIsServed(t *testing.T) {
	t.Parallel()
	inner := strings.ReplaceAll(zone, "lb.example.com", "shop.lb.example.com")
	outer := strings.ReplaceAll(zone, "lb.example.com", "example.com")
	target := strings.ReplaceAll(zone, "lb.example.com", "west.example.net")
	for _, tt := range []struct{ name, file, text, want string }{
		{"a zone within", "a.yaml", inner, "lie within each other"},
		{"a zone around", "a.yaml", outer, "lie within each other"},
		{"a zone of a hostname", "a.yaml", target, "the hostname of an entry of shop.lb.example.com"},
		{"the name in another file", "a.yaml", strings.ReplaceAll(shop, "192.0.2.1", "192.0.2.66"), "is in shop.yaml already"},
		{"the zone in another file", "a.yaml", strings.ReplaceAll(zone, "ns1", "ns7"), "is in zone.yaml already"},
		{"a server of that name", "zone.yaml", strings.ReplaceAll(zone, "ns1.lb", "shop.lb"), "shop.lb.example.com is a GlobalName"},
		{"a hostname in the zone", "shop.yaml", strings.ReplaceAll(shop, "lb.west.example.net", "x.lb.example.com"), "lies in the zone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := dirOf(t, "zone.yaml", zone, "shop.yaml", shop)
			r := NewReader(dir, false)
			before, _, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, tt.file, tt.text)
			reread(t, r, all, tt.want)
			if now, _, _ := r.Read(); !reflect.DeepEqual(now, before) {
				t.Errorf("%+v, before %+v", now, before)
			}
		})
	}
}

// More names and files than are served take no place of older ones.
func TestLimitsLeaveWhatIsServed(t *testing.T) {
	t.Parallel()
	dir := dirOf(t, "zone.yaml", zone, "shop.yaml", shop)
	r := NewReader(dir, false)
	reread(t, r, all, "")
	var many strings.Builder
	for i := range maxNames {
		fmt.Fprintf(&many, "---\n%s", strings.ReplaceAll(shop, "shop.lb", fmt.Sprintf("a%d.lb", i)))
	}
	write(t, dir, "a.yaml", many.String())
	for range 2 {
		c, errs, err := r.Read()
		if err != nil || len(errs) != 1 || !strings.Contains(errs[0].Message, "more than 1000 names") || len(c.Names) != maxNames {
			t.Fatalf("%d names, %v, %v", len(c.Names), errs, err)
		}
		if !slices.ContainsFunc(c.Names, func(n *GlobalName) bool { return n.Name == "shop.lb.example.com" }) {
			t.Error("the old name has lost its place")
		}
	}
	write(t, dir, "a.yaml", "# nothing\n")
	for i := range maxFiles {
		write(t, dir, fmt.Sprintf("0%d.yaml", i), "# nothing\n")
	}
	_, _, _ = r.Read()
	reread(t, r, all, "at most 1000 are")
}

// A file that is emptied or cut keeps what it had; of one that has less, that counts when it is read a second time.
func TestFilesThatAreCut(t *testing.T) {
	t.Parallel()
	both := zone + "---\n" + shop
	dir := dirOf(t, "a.yaml", both)
	r := NewReader(dir, false)
	reread(t, r, all, "")
	for _, text := range []string{"", "\n\n"} {
		write(t, dir, "a.yaml", text)
		reread(t, r, all, "the file is empty")
	}
	for _, text := range []string{zone + "---\napiVer", zone + "---\n" + shop[:40]} {
		write(t, dir, "a.yaml", text)
		if served, _ := read(t, r); served != all {
			t.Errorf("served: %s", served)
		}
		reread(t, r, all, "a.yaml")
	}
	for i := range both { // while it is written, whatever is there at a time
		write(t, dir, "a.yaml", both[:i])
		c, _, _ := r.Read()
		if len(c.Zones) != 1 || len(c.Names) != 1 || both[max(i-1, 0)] != '\n' && len(c.Names[0].Spec.Entries) != 2 {
			t.Fatalf("cut after %q: %d zones, %d names", both[:i], len(c.Zones), len(c.Names))
		}
	}
	write(t, dir, "a.yaml", both)
	reread(t, r, all, "")
	write(t, dir, "a.yaml", zone)
	if served, errs := read(t, r); served != all || errs != "" {
		t.Errorf("served: %s; errors: %s", served, errs)
	}
	reread(t, r, "lb.example.com", "")
	write(t, dir, "a.yaml", both)
	reread(t, r, all, "")
	write(t, dir, "b.yaml", shop) // moved: the file that has lost it is seen first
	write(t, dir, "a.yaml", zone)
	reread(t, r, all, "")
	remove(t, dir, "a.yaml")
	if served, _ := read(t, r); served != all {
		t.Errorf("served: %s", served)
	}
	if served, errs := read(t, r); served != "" || !strings.Contains(errs, "lies in no DNSZone") {
		t.Errorf("served: %s; errors: %s", served, errs)
	}
}

func TestLoopbackAndSharedProbes(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(strings.Replace(shop, "{scheme: http, path: /healthz}", "{scheme: tcp, port: 80}", 1), "192.0.2.1]", "127.0.0.1]")
	c, errs, err := NewReader(dirOf(t, "zone.yaml", zone, "a.yaml", text, "b.yaml", strings.ReplaceAll(text, "shop.lb", "two.lb")), true).Read()
	if err != nil || len(errs) > 0 || len(c.Names) != 2 || c.Names[0].Spec.Probe != c.Names[1].Spec.Probe {
		t.Errorf("%v, %v, %+v", errs, err, c)
	}
}
