package discovery

import (
	"fmt"
	"slices"
	"testing"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

var (
	cart = ServiceName{"shop", "cart"}
	pay  = ServiceName{"bank", "pay"}
)

func TestMayCall(t *testing.T) {
	t.Parallel()
	peer := func(rules *v1alpha1.ExportRules) *Peer {
		return &Peer{Name: "b", Spec: v1alpha1.PeerSpec{Exports: rules}}
	}
	to := func(names ...string) *Service { return &Service{Name: cart, Export: &Export{To: names}} }
	trying := func(names ...string) *Service {
		return &Service{Name: cart, Export: &Export{To: names, ToDryRun: true}}
	}
	deny := &v1alpha1.ExportRules{Deny: []string{"bank/*", "*/cart"}}
	allow := &v1alpha1.ExportRules{Allow: []string{"bank/*", "shop/cart"}}
	others := &v1alpha1.ExportRules{Allow: []string{"bank/*"}}
	both := &v1alpha1.ExportRules{Allow: []string{"*/*"}, Deny: []string{"shop/*"}}
	dry := &v1alpha1.ExportRules{Deny: []string{"shop/*"}, DryRun: true}
	for _, tt := range []struct {
		name string
		p    *Peer
		s    *Service
		want Verdict
	}{
		{"no service", peer(nil), nil, Verdict{Rule: RuleNotExported}},
		{"not exported", peer(allow), &Service{Name: cart}, Verdict{Rule: RuleNotExported}},
		{"no Peer", nil, to(), Verdict{Rule: RuleNoPeer}},
		{"no rules", peer(nil), to(), Verdict{Allowed: true, Rule: RuleExported}},
		{"export-to the peer", peer(nil), to("a", "b"), Verdict{Allowed: true, Rule: RuleExportTo}},
		{"export-to others", peer(nil), to("a", "bb"), Verdict{Rule: RuleExportTo}},
		{"export-to others, and allowed", peer(allow), to("a"), Verdict{Rule: RuleExportTo}},
		{"export-to nothing", peer(nil), &Service{Name: cart, Export: &Export{To: []string{}}}, Verdict{Rule: RuleExportTo}},
		{"denied", peer(deny), to(), Verdict{Rule: "exports.deny[1]"}},
		{"denied, though the owner exports to it", peer(deny), to("b"), Verdict{Rule: "exports.deny[1]"}},
		{"allowed", peer(allow), to(), Verdict{Allowed: true, Rule: "exports.allow[1]"}},
		{"not among the allowed", peer(others), to(), Verdict{Rule: "exports.allow"}},
		{"deny comes first", peer(both), to(), Verdict{Rule: "exports.deny[0]"}},
		{"dry run", peer(dry), to(), Verdict{Allowed: true, Rule: RuleExported, DryRun: "exports.deny[0]"}},
		{"dry run of the Peer, denied by the owner", peer(dry), to("a"), Verdict{Rule: RuleExportTo}},
		{"dry run of the Peer, named by the owner", peer(dry), to("b"), Verdict{Allowed: true, Rule: RuleExported, DryRun: "exports.deny[0]"}},
		{"dry run of the owner", peer(nil), trying("a"), Verdict{Allowed: true, Rule: RuleExported, DryRun: RuleExportTo}},
		{"dry run of the owner, who names it", peer(nil), trying("b"), Verdict{Allowed: true, Rule: RuleExportTo}},
		{"dry run of the owner, who names none", peer(nil), trying(), Verdict{Allowed: true, Rule: RuleExported}},
		{"dry run of the owner, denied by the Peer", peer(deny), trying("a"), Verdict{Rule: "exports.deny[1]"}},
		{"of the owner, allowed by the Peer", peer(allow), trying("a"), Verdict{Allowed: true, Rule: "exports.allow[1]", DryRun: RuleExportTo}},
		{"dry run of both", peer(dry), trying("a"), Verdict{Allowed: true, Rule: RuleExported, DryRun: RuleExportTo}},
	} {
		if got := MayCall(tt.p, tt.s); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// What a verdict is based on names what would deny it.
func TestExplainDryRun(t *testing.T) {
	t.Parallel()
	by := &Peer{Name: "b", Spec: v1alpha1.PeerSpec{Exports: &v1alpha1.ExportRules{Deny: []string{"shop/*"}, DryRun: true}}}
	for want, s := range map[string]*Service{
		"eastway.dev/export-to on ServiceExport shop/cart would deny it: a,c; but there is eastway.dev/export-to-dry-run": {
			Name: cart, Export: &Export{To: []string{"a", "c"}, ToDryRun: true},
		},
		"spec.exports.deny[0] of Peer b would deny it, but has dryRun": {Name: cart, Export: &Export{}},
	} {
		if got := MayCall(by, s).Explain("b", by, cart, s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// deltas are what a link is sent, one text for each change: its service, with - for one that is withdrawn.
func deltas(c *Catalog, peer string, has *sent) []string {
	d, _, _ := c.deltaFor(peer, has)
	var out []string
	for _, ch := range d.changes {
		sign := "+"
		if ch.export == nil {
			sign = "-"
		}
		out = append(out, sign+ch.name.String())
	}
	return out
}

// A peer is sent what it may call and nothing else: neither the names of other services nor that they are gone.
func TestPeersAreSentWhatTheyMayCall(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	var toB, toD sent
	noShop := &v1alpha1.ExportRules{Deny: []string{"shop/*"}}
	for _, step := range []struct {
		name  string
		rules *v1alpha1.ExportRules // of peer b
		to    []string              // the annotation on cart
		here  []ServiceName
		ready int // of cart
		b, d  []string
	}{
		{"all", nil, nil, []ServiceName{cart, pay}, 1, []string{"+bank/pay", "+shop/cart"}, []string{"+bank/pay", "+shop/cart"}},
		{"the Peer denies", &v1alpha1.ExportRules{Deny: []string{"bank/*"}}, nil, []ServiceName{cart, pay}, 1, []string{"-bank/pay"}, nil},
		{"denied changes", noShop, nil, []ServiceName{cart, pay}, 1, []string{"+bank/pay", "-shop/cart"}, nil},
		{"what is denied changes", noShop, nil, []ServiceName{cart, pay}, 2, nil, []string{"+shop/cart"}},
		{"what is denied goes", noShop, nil, []ServiceName{pay}, 2, nil, []string{"-shop/cart"}},
		{"what is denied comes", noShop, nil, []ServiceName{cart, pay}, 2, nil, []string{"+shop/cart"}},
		{"dry run", &v1alpha1.ExportRules{Deny: []string{"shop/*"}, DryRun: true}, nil, []ServiceName{cart, pay}, 2, []string{"+shop/cart"}, nil},
		{"the owner exports to b, and tries that", nil, []string{"?", "b"}, []ServiceName{cart, pay}, 2, nil, nil},
		{"the owner exports to b", nil, []string{"b"}, []ServiceName{cart, pay}, 2, nil, []string{"-shop/cart"}},
		{"the owner exports to d", nil, []string{"d"}, []ServiceName{cart, pay}, 2, []string{"-shop/cart"}, []string{"+shop/cart"}},
		{"to d, and it changes", nil, []string{"d"}, []ServiceName{cart, pay}, 1, nil, []string{"+shop/cart"}},
		{"all again", nil, nil, []ServiceName{cart, pay}, 1, []string{"+shop/cart"}, nil},
	} {
		l := localWith([]string{"b", "d"}, step.here...)
		l.Peers["b"].Spec.Exports = step.rules
		if slices.Contains(step.here, cart) {
			s := newService(cart, step.ready)
			s.Export.To, s.Export.ToDryRun = step.to, slices.Contains(step.to, "?") // no name of a Peer
			l.Services = l.Services.With(cart, s)
		}
		c.SetLocal(l)
		if got := deltas(c, "b", &toB); !slices.Equal(got, step.b) {
			t.Errorf("%s: b is sent %q, want %q", step.name, got, step.b)
		}
		if got := deltas(c, "d", &toD); !slices.Equal(got, step.d) {
			t.Errorf("%s: d is sent %q, want %q", step.name, got, step.d)
		}
	}
}

// A service that comes and goes between two deltas, and was denied all the time, leaves no trace.
func TestDeniedServicesAreNeverNamed(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	var has sent
	set := func(here ...ServiceName) {
		l := localWith([]string{"b"}, here...)
		l.Peers["b"].Spec.Exports = &v1alpha1.ExportRules{Allow: []string{"shop/cart"}}
		c.SetLocal(l)
	}
	set(cart)
	deltas(c, "b", &has)
	for i := range 100 {
		set(cart, ServiceName{"secret", fmt.Sprintf("s%d", i)})
		if i%3 == 0 {
			set(cart)
		}
		if d, ok, _ := c.deltaFor("b", &has); ok {
			t.Fatalf("sent %+v", d)
		}
	}
	if c.exports.to["b"].Len() != 1 {
		t.Error("it can call more than one")
	}
}

func TestMayImport(t *testing.T) {
	t.Parallel()
	dns := ServiceName{"kube-system", "kube-dns"}
	for _, tt := range []struct {
		name    string
		rules   *v1alpha1.ImportRules
		of      ServiceName
		allowed bool
		rule    string
	}{
		{"no rules", nil, cart, true, ""},
		{"Kubernetes' own", nil, dns, false, "reserved"},
		{"Kubernetes' own, allowed", &v1alpha1.ImportRules{Allow: []string{"kube-system/*"}}, dns, false, "reserved"},
		{"Eastway's own", nil, ServiceName{"eastway-system", "eastway"}, false, "reserved"},
		{"where Eastway is installed", nil, ServiceName{"mesh", "eastway"}, false, "reserved"},
		{"where it is installed, allowed", &v1alpha1.ImportRules{Allow: []string{"mesh/*"}}, ServiceName{"mesh", "x"}, false, "reserved"},
		{"a similar name", nil, ServiceName{"kubernetes", "x"}, true, ""},
		{"allowed", &v1alpha1.ImportRules{Allow: []string{"shop/*"}}, cart, true, "imports.allow[0]"},
		{"not among the allowed", &v1alpha1.ImportRules{Allow: []string{"shop/*"}}, pay, false, "imports.allow"},
		{"denied", &v1alpha1.ImportRules{Deny: []string{"*/x", "bank/pay"}}, pay, false, "imports.deny[1]"},
		{"deny comes first", &v1alpha1.ImportRules{Allow: []string{"*/*"}, Deny: []string{"bank/*"}}, pay, false, "imports.deny[0]"},
	} {
		allowed, rule := MayImport(&Peer{Name: "b", Spec: v1alpha1.PeerSpec{Imports: tt.rules}}, "mesh", tt.of)
		if allowed != tt.allowed || rule != tt.rule {
			t.Errorf("%s: %v %q, want %v %q", tt.name, allowed, rule, tt.allowed, tt.rule)
		}
	}
	if allowed, rule := MayImport(nil, "", cart); allowed || rule != RuleNoPeer {
		t.Errorf("of no Peer: %v %q", allowed, rule)
	}
}

// A hostile peer announces what others export, and the cluster's own names. What the rules leave out is as if it were not announced, also for
// other exporters of the service; a changed rule holds at once, whichever side of it the advert came on.
func TestHostileAnnouncements(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	dns, tunnel := ServiceName{"kube-system", "kube-dns"}, ServiceName{"mesh", "eastway-tunnel"}
	set := func(rules *v1alpha1.ImportRules) {
		l := localWith([]string{"evil", "good"})
		l.Peers["evil"].Spec.Imports, l.Namespace = rules, "mesh"
		c.SetLocal(l)
	}
	exporters := func(n ServiceName) string {
		s := c.Snapshot().Services.Get(n)
		if s == nil {
			return ""
		}
		out := ""
		for i := range s.Peers {
			out += s.Peers[i].Peer + " "
		}
		return out
	}
	set(&v1alpha1.ImportRules{Allow: []string{"shop/*"}})
	for peer, names := range map[string][]ServiceName{"evil": {cart, pay, dns, tunnel}, "good": {cart, pay}} {
		if err := c.UpdateRemote(ReplicaID{peer, "r"}, updateOf(1, 0, 1, 1_000_000, names...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		rules     *v1alpha1.ImportRules
		cart, pay string
	}{
		{&v1alpha1.ImportRules{Allow: []string{"shop/*"}}, "evil good ", "good "},
		{&v1alpha1.ImportRules{Deny: []string{"shop/*"}}, "good ", "evil good "},
		{&v1alpha1.ImportRules{Deny: []string{"*/*"}}, "good ", "good "},
		{nil, "evil good ", "evil good "},
		{&v1alpha1.ImportRules{Allow: []string{"shop/*"}}, "evil good ", "good "},
	} {
		set(step.rules)
		if exporters(cart) != step.cart || exporters(pay) != step.pay || exporters(dns)+exporters(tunnel) != "" {
			t.Errorf("%+v: cart of %q, pay of %q, DNS of %q", step.rules, exporters(cart), exporters(pay), exporters(dns))
		}
	}
}
