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
	} {
		if got := MayCall(tt.p, tt.s); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
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
		{
			"denied changes", &v1alpha1.ExportRules{Deny: []string{"shop/*"}}, nil, []ServiceName{cart, pay}, 1,
			[]string{"+bank/pay", "-shop/cart"}, nil,
		},
		{"what is denied changes", &v1alpha1.ExportRules{Deny: []string{"shop/*"}}, nil, []ServiceName{cart, pay}, 2, nil, []string{"+shop/cart"}},
		{"what is denied goes", &v1alpha1.ExportRules{Deny: []string{"shop/*"}}, nil, []ServiceName{pay}, 2, nil, []string{"-shop/cart"}},
		{"what is denied comes", &v1alpha1.ExportRules{Deny: []string{"shop/*"}}, nil, []ServiceName{cart, pay}, 2, nil, []string{"+shop/cart"}},
		{"dry run", &v1alpha1.ExportRules{Deny: []string{"shop/*"}, DryRun: true}, nil, []ServiceName{cart, pay}, 2, []string{"+shop/cart"}, nil},
		{"the owner exports to b", nil, []string{"b"}, []ServiceName{cart, pay}, 2, nil, []string{"-shop/cart"}},
		{"the owner exports to d", nil, []string{"d"}, []ServiceName{cart, pay}, 2, []string{"-shop/cart"}, []string{"+shop/cart"}},
		{"to d, and it changes", nil, []string{"d"}, []ServiceName{cart, pay}, 1, nil, []string{"+shop/cart"}},
		{"all again", nil, nil, []ServiceName{cart, pay}, 1, []string{"+shop/cart"}, nil},
	} {
		l := localWith([]string{"b", "d"}, step.here...)
		l.Peers["b"].Spec.Exports = step.rules
		if slices.Contains(step.here, cart) {
			s := newService(cart, step.ready)
			s.Export.To = step.to
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
