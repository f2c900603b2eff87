package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/command"
)

func TestProxyFlags(t *testing.T) {
	t.Parallel()
	const good = "proxy --cluster aa --region r --config /tmp "
	for args, want := range map[string]string{
		"proxy":                         "--cluster is required",
		"proxy --cluster aa":            "--region is required",
		"proxy --cluster aa --region r": "--config is required",
		"proxy --cluster A_B --region r --config .": `cluster name "A_B"`,
		good + "--qqqqq":                                              "unknown flag: --qqqqq",
		good + "qqqqq":                                                `unexpected argument "qqqqq"`,
		good + "--zone _":                                             `--zone "_": a valid label`,
		good + "--log-level loud":                                     `--log-level "loud": use debug, info, warn or error`,
		good + "--listen nowhere":                                     `--listen "nowhere" is not IP:PORT`,
		good + "--listen :http":                                       `--listen ":http" is not IP:PORT: port "http" is not a number`,
		good + "--transports tcp,sctp":                                `--transports: "sctp" is not a transport: use tcp, quic or both`,
		good + "--transports=":                                        "--transports is empty",
		good + "--listen 127.0.0.1:1 --admin 127.0.0.1:1":             "--listen and --admin have the same address and port",
		good + "--listen :1 --health 127.0.0.1:1":                     "--listen and --health have the same address and port",
		good + "--health 127.0.0.1:15000":                             "--admin and --health have the same address and port",
		good + "--health 127.0.0.1:1 --agents 127.0.0.1:1":            "--health and --agents have the same address and port",
		good + "--max-connections 0":                                  `"0" for "--max-connections" flag: must be a number of 1 or more`,
		good + "--max-streams -1":                                     `"-1" for "--max-streams" flag: must be a number of 1 or more`,
		good + "--max-connections 5 --max-connections-per-listener 6": "--max-connections-per-listener 6 is above --max-connections 5",
		good + "--max-streams 5 --max-streams-per-peer 6":             "--max-streams-per-peer 6 is above --max-streams 5",
		good + "--admin 15000":                                        `--admin: "15000" is not HOST:PORT`,
		good + "--admin :15000":                                       "or allow remote access if that is meant: --unsafe-admin-remote",
		good + "--health 15020":                                       `--health: "15020" is not HOST:PORT`,
		good + "--agents 15024":                                       `--agents: "15024" is not HOST:PORT`,
		good + "--health-listeners":                                   "--health-listeners needs --health",
		good + "--trust-domain A!":                                    `--trust-domain "A!"`,
		good + "--svid x --ca y":                                      "--svid excludes --ca",
		"proxy --cluster aa --node-name n --kubernetes --allow-loopback-endpoints": "--allow-loopback-endpoints excludes --kubernetes",
		good + "--drain-delay -1s":      "must not be negative",
		good + "--max-peer-memory 1Mi":  "--max-peer-memory 1Mi: must be at least 16Mi",
		good + "--max-peer-memory lots": `invalid argument "lots" for "--max-peer-memory"`,
		good + "--drain-timeout 5":      `missing unit in duration "5"`,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			got := runCommand(t, strings.Fields(args)...)
			if got.code != command.Usage || !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 2 {
				t.Errorf("exit code %d, want %d; stderr, want one line with %q and one of help:\n%s", got.code, command.Usage, want, got.stderr)
			}
		})
	}
}

func TestTransportsWithSpaces(t *testing.T) {
	t.Parallel()
	o := proxyOptions{transports: []string{"tcp", " quic "}}
	if err := o.validateTransports(); err != nil || o.transports[1] != "quic" {
		t.Errorf("%q, %v", o.transports, err)
	}
}

// What is missing is reported before anything is created.
func TestProxyPaths(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	state := filepath.Join(s.dir, "state")
	file := filepath.Join(s.config, "x.yaml")
	s.write(t, "x.yaml", "")
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no config directory":   {[]string{"--config", state}, "no such file or directory: create the directory, or name another"},
		"config is a file":      {[]string{"--config", file}, "is not a directory: name the one that holds the manifests"},
		"no access log":         {[]string{"--access-log", filepath.Join(state, "x")}, "choose another file with --access-log"},
		"no certificate":        {[]string{"--ca", "", "--svid", state}, "--svid: certs: certificate in " + state + ": "},
		"no certificate, then":  {[]string{"--ca", "", "--svid", state}, "`eastway certs issue` makes the files"},
		"another trust domain":  {[]string{"--trust-domain", "zz.test"}, "aa.eastway.internal"},
		"address not on a host": {[]string{"--listen", "192.0.2.1:1"}, "check that the address is one of this machine's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code := command.Failure
			if tt.args[0] == "--config" {
				code = command.Usage
			}
			got := runCommand(t, s.flags(append([]string{"--ca", s.ca}, tt.args...)...)...)
			if got.code != code || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("exit code %d, want %d; stderr, want %q:\n%s", got.code, code, tt.want, got.stderr)
			}
			if _, err := os.Stat(state); err == nil {
				t.Errorf("%s was made", state)
			}
		})
	}
}

// shopAndCart are two services in one file: cart is document 1 to 3, shop 4 to 6.
func shopAndCart(cart, shop, app string) string {
	return serviceManifest("cart", cart, endpoint{app, "aa-1"}) + "---\n" + serviceManifest("shop", shop, endpoint{app, "aa-1"})
}

// A file that breaks keeps what it had; the files beside it are followed.
func TestBrokenManifest(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		old, new string
		document int
		field    string
		reason   string
		behind   int // lines; a parser of YAML stumbles behind the open bracket
	}{
		"unknown field": {"clusterIP: SHOP", "clusterIp: SHOP", 4, "spec.clusterIp", "unknown field", 0},
		"wrong type":    {"clusterIP: SHOP", "clusterIP: [1]", 4, "spec.clusterIP", "a string is expected", 0},
		"bad value":     {"clusterIP: SHOP", "clusterIP: nowhere", 4, "spec.clusterIP", "must be an IP address", 0},
		"no YAML":       {"clusterIP: SHOP", "clusterIP: {", 4, "", "", 1},
		"unknown kind":  {"kind: Service\nmetadata:\n  name: shop", "kind: Servise\nmetadata:\n  name: shop", 4, "kind", "not a kind", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "aa")
			cart, shop, late, app := newAddress(), newAddress(), newAddress(), newAddress()
			startApp(t, "app", app)
			good := shopAndCart(cart, shop, app)
			s.write(t, "both.yaml", good)
			p := s.start(t)
			mustCall(t, shop, "app")

			fill := strings.NewReplacer("SHOP", shop)
			broken := strings.Replace(good, fill.Replace(tt.old), fill.Replace(tt.new), 1)
			if broken == good {
				t.Fatal("the file is not broken")
			}
			s.write(t, "both.yaml", broken)
			s.write(t, "late.yaml", serviceManifest("late", late, endpoint{app, "aa-1"}))
			eventually(t, "the error shows", func() error {
				if p.metric(t, "eastway_discovery_file_errors") != 0 {
					return nil
				}
				return fmt.Errorf("%s", p.stderr)
			})
			eventually(t, "late is served", func() error { _, err := call(t, late); return err })
			mustCall(t, shop, "app") // as it was
			mustCall(t, cart, "app")

			logged := p.stderr.lines(t, map[string]any{"file": "both.yaml", "document": float64(tt.document), "field": tt.field})
			if len(logged) != 1 || !strings.Contains(fmt.Sprint(logged[0]["reason"]), tt.reason) {
				t.Fatalf("want one line in the log with %q, got %v", tt.reason, logged)
			}
			before, _, _ := strings.Cut(broken, fill.Replace(tt.new))
			line := 1 + strings.Count(before, "\n") + tt.behind
			if logged[0]["line"] != float64(line) {
				t.Errorf("line %v, want %d", logged[0]["line"], line)
			}
			want := fmt.Sprintf("both.yaml:%d: document %d: ", line, tt.document)
			if text := mustRun(t, "status", "--admin", s.admin()); !strings.Contains(text, want) || !strings.Contains(text, tt.field) {
				t.Errorf("status does not say %q:\n%s", want, text)
			}

			s.write(t, "both.yaml", good)
			eventually(t, "the error is gone", func() error {
				if st := p.status(t); len(st.Errors) > 0 || p.metric(t, "eastway_discovery_file_errors") != 0 {
					return fmt.Errorf("%v", st.Errors)
				}
				return nil
			})
		})
	}
}

// The service that has the address keeps it; the other one is named with what to do, and served over its peers all the same.
func TestTwoServicesOnOneAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	shared, own, first, second := newAddress(), newAddress(), newAddress(), newAddress()
	startApp(t, "first", first)
	startApp(t, "second", second)
	s.write(t, "zz-first.yaml", serviceManifest("first", shared, endpoint{first, "aa-1"}))
	p := s.start(t)
	mustCall(t, shared, "first")
	s.write(t, "aa-second.yaml", serviceManifest("second", shared, endpoint{second, "aa-1"}))
	eventually(t, "the clash shows", func() error {
		if st := p.status(t); len(st.Errors) != 1 {
			return fmt.Errorf("%v", st.Errors)
		}
		return nil
	})
	said := p.status(t).Errors[0]
	at := net.JoinHostPort(shared, servicePort)
	for _, want := range []string{"aa-second.yaml:", "document 1", "spec.clusterIP", at, "zz-first.yaml", "give it another"} {
		if !strings.Contains(said, want) {
			t.Errorf("the error does not say %q: %s", want, said)
		}
	}
	mustCall(t, shared, "first")
	s.write(t, "aa-second.yaml", serviceManifest("second", own, endpoint{second, "aa-1"}))
	eventually(t, "second has an address of its own", func() error { _, err := call(t, own); return err })
	mustCall(t, own, "second")
	mustCall(t, shared, "first")
}

// Peers that cannot be right are refused each by itself; the good one is connected to.
func TestBadPeers(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	b.trust(t, a)
	a.trust(t, b, b.tunnel())
	good, err := os.ReadFile(filepath.Join(a.config, "peer-bb.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(string(good)) }
	head, _, _ := strings.Cut(string(good), "    -----BEGIN")
	own := mustRun(t, "peer", "export", "--cluster", "aa", "--ca", a.ca)
	for file, manifest := range map[string]string{
		"bundle.yaml": strings.NewReplacer("name: bb", "name: cc", "/cluster/bb", "/cluster/cc").Replace(head) + "    no PEM\n",
		"id.yaml":     change("name: bb", "name: dd", "/cluster/bb", "/cluster/ee"),
		"own.yaml":    own,
		"taken.yaml":  string(good), // zz: behind the good one's file
		"twin.yaml":   change("name: bb", "name: ff"),
		"field.yaml":  change("spec:", "spec:\n  color: blue", "name: bb", "name: gg"),
	} {
		s := "zz-" + file
		a.write(t, s, manifest)
	}
	b.start(t)
	p := a.start(t)
	p.connected(t, "bb")
	said := strings.Join(p.status(t).Errors, "\n")
	for file, want := range map[string]string{
		"bundle": "spec.trustBundle: trust bundle: PEM",
		"id":     `spec.spiffeID: "spiffe://bb.eastway.internal/eastway/cluster/ee" is the ID of cluster "ee", but the peer's name is "dd"`,
		"own":    `metadata.name: "aa" is this cluster itself`,
		"taken":  "is already taken by peer-bb.yaml: this one is ignored; remove one of the two",
		"twin":   `is the ID of cluster "bb", but the peer's name is "ff"`,
		"field":  "spec.color: unknown field",
	} {
		found := false
		for line := range strings.Lines(said) {
			found = found || strings.HasPrefix(line, "zz-"+file+".yaml:") && strings.Contains(line, want)
		}
		if !found {
			t.Errorf("of zz-%s.yaml nothing says %q:\n%s", file, want, said)
		}
	}
	if st := p.status(t); len(st.Peers) != 1 {
		t.Errorf("peers %+v, want bb only", st.Peers)
	}
}
