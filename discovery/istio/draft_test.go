package istio

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func empty(namespace, name, host string) *DestinationRule {
	r := &DestinationRule{Spec: RuleSpec{Host: host}}
	r.Namespace, r.Name = namespace, name
	return r
}

func origination(namespace, name, host, mode string) *DestinationRule {
	r := empty(namespace, name, host)
	r.Spec.TrafficPolicy = &TrafficPolicy{TLS: &TLS{Mode: mode}}
	return r
}

// brief has a line for each policy and finding.
func brief(r Result) string {
	var out []string
	for _, x := range r.Externals {
		out = append(out, x.Name+" "+strings.Join(x.Spec.Hosts, ","))
	}
	for _, p := range r.Policies {
		limit := int32(0)
		if p.Spec.ConnectionPool != nil {
			limit = *p.Spec.ConnectionPool.TCP.MaxConnections
		}
		out = append(out, fmt.Sprintf("%s for %s/%s: %d", p.Name, p.Namespace, p.Spec.TargetRef.Name, limit))
	}
	for _, f := range r.Found {
		out = append(out, fmt.Sprintf("%s %s %s", f.Of.GetName(), f.Field, f.Effect))
	}
	return strings.Join(out, "; ")
}

// The host that covers the least decides, as in Istio, even if its rule sets nothing.
func TestSpecificity(t *testing.T) {
	t.Parallel()
	entry := entryFor("shop", "db", []string{"db.eu.example"}, 80)
	wide, narrow := ruleFor("shop", "wide", "*.example", 1), ruleFor("shop", "narrow", "*.eu.example", 2)
	exact := ruleFor("shop", "exact", "db.eu.example", 3)
	byHost := slow([]string{"db.eu.example"})
	byHost.Spec.HTTP[0].Timeout = nil
	all := slow([]string{"*.eu.example"})
	all.Name = "all"
	for name, c := range map[string]struct {
		objects []metav1.Object
		want    string
	}{
		"a narrower wildcard": {[]metav1.Object{entry, wide, narrow}, "db db.eu.example; narrow for shop/db: 2"},
		"no wildcard":         {[]metav1.Object{entry, wide, narrow, exact}, "db db.eu.example; exact for shop/db: 3"},
		"nothing":             {[]metav1.Object{entry, wide, empty("shop", "nothing", "db.eu.example")}, "db db.eu.example"},
		"nothing, of one host": {
			[]metav1.Object{entry, empty("shop", "nothing", "db.eu.example"), exact}, "db db.eu.example; exact for shop/db: 3",
		},
		"a route": {[]metav1.Object{entry, all}, "db db.eu.example; all for shop/db: 0"},
		"a route beside nothing": {
			[]metav1.Object{entry, empty("shop", "nothing", "db.eu.example"), all}, "db db.eu.example; all for shop/db: 0",
		},
		"a route of no settings": {[]metav1.Object{entry, all, byHost}, "db db.eu.example"},
		"nothing, and no default": {
			[]metav1.Object{empty("prod", "nothing", "reviews")}, "",
		},
		"nothing, and a default": {
			[]metav1.Object{ruleFor(rootNamespace, "all", "*.local", 4), empty("prod", "nothing", "reviews")},
			"all for eastway-system/: 4; nothing for prod/reviews: 0",
		},
		"nothing for a namespace": {
			[]metav1.Object{ruleFor(rootNamespace, "all", "*", 4), empty("prod", "nothing", "*.prod.svc.cluster.local")},
			"all for eastway-system/: 4; nothing for prod/: 0",
		},
		"the default covers hosts outside": {
			[]metav1.Object{entry, all, ruleFor(rootNamespace, "everything", "*", 4)},
			"db db.eu.example; everything for eastway-system/: 4; all for shop/db: 4",
		},
		"the default is for Services": {
			[]metav1.Object{entry, all, ruleFor(rootNamespace, "services", "*.local", 4)},
			"db db.eu.example; services for eastway-system/: 4; all for shop/db: 0",
		},
		"a default that holds for more": {
			[]metav1.Object{entry, ruleFor("shop", "services", "*.shop.svc.cluster.local", 4)},
			"db db.eu.example; services for shop/: 4; services spec.host changed",
		},
		"a default that holds for all in Istio too": {
			[]metav1.Object{entry, ruleFor(rootNamespace, "everything", "*", 4)}, "db db.eu.example; everything for eastway-system/: 4",
		},
		"a default that holds for others": {
			[]metav1.Object{entry, ruleFor("prod", "services", "*.prod.svc.cluster.local", 4)}, "db db.eu.example; services for prod/: 4",
		},
	} {
		if got := brief(Convert(c.objects)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What a rule would secure is not made without it.
func TestUnusedTLS(t *testing.T) {
	t.Parallel()
	db, api := entryFor("shop", "db", []string{"db.example"}, 80), entryFor("shop", "api", []string{"api.example"}, 80)
	https := entryFor("shop", "db", []string{"db.example"}, 443)
	https.Spec.Ports[0].Protocol = "HTTPS"
	simple := origination("shop", "simple", "db.example", v1alpha1.TLSSimple)
	mistyped := origination("shop", "mistyped", "db.example", "SIMPEL")
	used := ruleFor("shop", "used", "db.example", 1)
	byPort := empty("shop", "by-port", "db.example")
	byPort.Spec.TrafficPolicy = &TrafficPolicy{PortLevelSettings: []PortPolicy{
		{Port: v1alpha1.PortSelector{Number: 81}, TLS: simple.Spec.TrafficPolicy.TLS},
	}}
	for name, c := range map[string]struct {
		objects []metav1.Object
		refused *DestinationRule
		want    string
	}{
		"refused":              {[]metav1.Object{db, api}, simple, "api api.example; db spec.hosts refused"},
		"of no mode":           {[]metav1.Object{db, mistyped}, nil, "db spec.hosts refused"},
		"its settings go too":  {[]metav1.Object{db, slow([]string{"db.example"})}, simple, "db spec.hosts refused"},
		"of an older wildcard": {[]metav1.Object{db, ruleFor("shop", "used", "*.example", 1)}, simple, "db spec.hosts refused"},
		"wider than the used": {
			[]metav1.Object{db, used}, origination("shop", "w", "*.example", "SIMPLE"), "db db.example; used for shop/db: 1",
		},
		"without TLS":          {[]metav1.Object{db}, ruleFor("shop", "plain", "db.example", 1), "db db.example"},
		"with TLS off":         {[]metav1.Object{db}, origination("shop", "off", "db.example", "DISABLE"), "db db.example"},
		"of callers":           {[]metav1.Object{https}, simple, "db db.example"},
		"of another port":      {[]metav1.Object{db}, byPort, "db db.example"},
		"beside one that adds": {[]metav1.Object{db, simple}, origination("prod", "other", "db.example", "SIMPLE"), "db db.example"},
		"of other callers": {
			[]metav1.Object{db, used, origination("prod", "other", "db.example", "SIMPLE")},
			nil,
			"other spec.host changed; other spec.host refused; db spec.hosts refused",
		},
		"of the same namespace": {
			[]metav1.Object{db, used, simple}, nil, "db db.example; used for shop/db: 1; simple spec.host refused",
		},
	} {
		var refused []*DestinationRule
		if c.refused != nil {
			refused = append(refused, c.refused)
		}
		if got := brief(Convert(c.objects, refused...)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Names that would be the same get a hash of what they are for; those that a manifest has stay.
func TestNames(t *testing.T) {
	t.Parallel()
	dotted, own := entryFor("shop", "my.db", []string{"db.example"}, 80), entryFor("shop", "my-db", []string{"other.example"}, 80)
	split := entryFor("shop", "both", []string{"my.db", "b.example"}, 80)
	far := entryFor("prod", "my.db", []string{"far.example"}, 80)
	got := Convert([]metav1.Object{dotted, split, own, far})
	names := map[string]string{}
	for _, x := range got.Externals {
		if other := names[x.Namespace+"/"+x.Name]; other != "" || len(x.Name) > 63 {
			t.Errorf("%s of %s and %s", x.Name, other, x.Spec.Hosts)
		}
		names[x.Namespace+"/"+x.Name] = x.Spec.Hosts[0]
	}
	if names["shop/my-db"] != "other.example" || names["prod/my-db"] != "far.example" || len(names) != 5 || len(got.Found) != 2 {
		t.Errorf("%v %+v", names, got.Found)
	}
	if again := Convert([]metav1.Object{own, split, dotted}); again.Externals[3].Name != got.Externals[0].Name {
		t.Errorf("%s depends on the order, it was %s", again.Externals[3].Name, got.Externals[0].Name)
	}

	long := strings.Repeat("a", 70)
	policies := Convert([]metav1.Object{
		ruleFor("shop", long+"1", "x", 1), ruleFor("shop", long+"2", "y", 2), ruleFor("shop", "my.rule", "z", 3), ruleFor("shop", "my-rule", "q", 4),
		ruleFor("shop", "y", "other", 5),
	}).Policies
	byTarget := map[string]string{}
	for _, p := range policies {
		byTarget[p.Spec.TargetRef.Name] = p.Name
	}
	hashes := map[string]bool{byTarget["y"]: true, byTarget["x"]: true}
	if byTarget["q"] != "my-rule" || byTarget["z"] != "z" || byTarget["other"] != "y" || byTarget["x"] != long[:63] || len(hashes) != 2 {
		t.Errorf("%v", byTarget)
	}
	if want := hashed(long+"2", "shop", "Service shop/y"); byTarget["y"] != want || len(want) != 63 {
		t.Errorf("%s, want %s", byTarget["y"], want)
	}
}
