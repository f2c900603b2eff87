package status

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/route"
)

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

func at(second int64) metav1.Time { return metav1.NewTime(time.Unix(second, 0).UTC()) }

// said is a condition like "Accepted=True (Accepted)" of a generation since that second; 0: not known.
func said(text string, generation, since int64) metav1.Condition {
	var c metav1.Condition
	kind, rest, _ := strings.Cut(text, "=")
	status, reason, _ := strings.Cut(rest, " ")
	c.Type, c.Status, c.Reason, c.ObservedGeneration = kind, metav1.ConditionStatus(status), strings.Trim(reason, "()"), generation
	if since != 0 {
		c.LastTransitionTime = at(since)
	}
	return c
}

const (
	accepted   = "Accepted=True (Accepted)"
	refused    = "Accepted=False (NoMatchingParent)"
	programmed = "Programmed=True (Programmed)"
	unknown    = "Programmed=Unknown (Pending)"
	elsewhere  = "example.com/Checked=True (Yes)"
)

// shown are conditions with generation and time.
func shown(all []metav1.Condition) string {
	var out []string
	for i := range all {
		c := &all[i]
		out = append(out, fmt.Sprintf("%s=%s (%s) g%d t%d", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.LastTransitionTime.Unix()))
	}
	return strings.Join(out, ", ")
}

// patched is what a change writes.
func patched(t *testing.T, c *Change) string {
	t.Helper()
	var p struct {
		Metadata map[string]string
		Status   map[string]json.RawMessage
	}
	if err := json.Unmarshal(c.Patch, &p); err != nil {
		t.Fatal(err)
	}
	if p.Metadata["resourceVersion"] != c.Version || len(p.Metadata) != 1 {
		t.Errorf("metadata %v, version %s", p.Metadata, c.Version)
	}
	var out []string
	for _, field := range []string{"conditions", "listeners", "parents"} {
		raw, ok := p.Status[field]
		delete(p.Status, field)
		if !ok {
			continue
		}
		switch field {
		case "conditions":
			var is []metav1.Condition
			_ = json.Unmarshal(raw, &is)
			out = append(out, shown(is))
		case "listeners":
			var is []gatewayv1.ListenerStatus
			_ = json.Unmarshal(raw, &is)
			for i := range is {
				out = append(out, fmt.Sprintf("%s %d: %s", is[i].Name, is[i].AttachedRoutes, shown(is[i].Conditions)))
			}
		case "parents":
			var is []gatewayv1.RouteParentStatus
			_ = json.Unmarshal(raw, &is)
			for i := range is {
				out = append(out, fmt.Sprintf("%s %s: %s", is[i].ControllerName, is[i].ParentRef.Name, shown(is[i].Conditions)))
			}
			if len(is) == 0 {
				out = append(out, string(raw))
			}
		}
	}
	if len(p.Status) > 0 {
		t.Errorf("fields of others: %v", p.Status)
	}
	return strings.Join(out, "; ")
}

func parent(controller gatewayv1.GatewayController, name string, conditions ...metav1.Condition) gatewayv1.RouteParentStatus {
	return gatewayv1.RouteParentStatus{
		ParentRef: gatewayv1.ParentReference{Name: gatewayv1.ObjectName(name)}, ControllerName: controller, Conditions: conditions,
	}
}

func listener(name string, routes int32, conditions ...metav1.Condition) gatewayv1.ListenerStatus {
	return gatewayv1.ListenerStatus{Name: gatewayv1.SectionName(name), AttachedRoutes: routes, Conditions: conditions}
}

const us = route.ControllerName

func TestRoutes(t *testing.T) {
	t.Parallel()
	type parents []gatewayv1.RouteParentStatus
	var many parents
	for i := range maxParents {
		many = append(many, parent("example.com/other", fmt.Sprint("g", i)))
	}
	for name, c := range map[string]struct {
		want, there parents
		generation  int64
		patch       string // empty: none
	}{
		"new":       {parents{parent(us, "web", said(accepted, 2, 0))}, nil, 2, string(us) + " web: Accepted=True (Accepted) g2 t9"},
		"unchanged": {parents{parent(us, "web", said(accepted, 2, 0))}, parents{parent(us, "web", said(accepted, 2, 5))}, 2, ""},
		"the time stays while the status does": {
			parents{parent(us, "web", said(accepted, 2, 0))},
			parents{parent(us, "web", said(accepted, 1, 5))},
			2,
			string(us) + " web: Accepted=True (Accepted) g2 t5",
		},
		"refused now": {
			parents{parent(us, "web", said(refused, 2, 0))},
			parents{parent(us, "web", said(accepted, 2, 5))},
			2,
			string(us) + " web: Accepted=False (NoMatchingParent) g2 t9",
		},
		"others keep their places": {
			parents{parent(us, "web", said(accepted, 2, 0)), parent(us, "api", said(accepted, 2, 0))},
			parents{parent("b", "web", said(refused, 1, 3)), parent(us, "api", said(accepted, 2, 5)), parent("a", "x", said(accepted, 1, 3))},
			2,
			"b web: Accepted=False (NoMatchingParent) g1 t3; " + string(us) + " api: Accepted=True (Accepted) g2 t5; " +
				"a x: Accepted=True (Accepted) g1 t3; " + string(us) + " web: Accepted=True (Accepted) g2 t9",
		},
		"another order is no change": {
			parents{parent(us, "web", said(accepted, 2, 0)), parent(us, "api", said(accepted, 2, 0))},
			parents{parent(us, "api", said(accepted, 2, 5)), parent("a", "x"), parent(us, "web", said(accepted, 2, 5))},
			2, "",
		},
		"a parent that left": {
			parents{parent(us, "web", said(accepted, 2, 0))},
			parents{parent(us, "gone", said(accepted, 1, 5)), parent("a", "gone", said(accepted, 1, 5)), parent(us, "web", said(accepted, 2, 5))},
			2,
			"a gone: Accepted=True (Accepted) g1 t5; " + string(us) + " web: Accepted=True (Accepted) g2 t5",
		},
		"the last parent left": {nil, parents{parent(us, "web", said(accepted, 2, 5))}, 2, "[]"},
		"not ours":             {nil, parents{parent("a", "web", said(accepted, 2, 5))}, 2, ""},
		"never had one":        {nil, nil, 2, ""},
		"the same twice": {
			parents{parent(us, "web", said(accepted, 2, 0)), parent(us, "web", said(accepted, 2, 0))},
			nil, 2,
			string(us) + " web: Accepted=True (Accepted) g2 t9",
		},
		"compiled from an older generation": {parents{parent(us, "web", said(accepted, 1, 0))}, nil, 2, ""},
		"no room":                           {parents{parent(us, "web", said(accepted, 2, 0))}, many, 2, ""},
	} {
		for _, kind := range []string{HTTPRoute, GRPCRoute} {
			status := &route.Status{Routes: map[types.NamespacedName][]gatewayv1.RouteParentStatus{}}
			if kind == GRPCRoute {
				status.GRPCRoutes = map[types.NamespacedName][]gatewayv1.RouteParentStatus{named("r"): c.want}
			} else {
				status.Routes[named("r")] = c.want
			}
			there := []Object{{ID: ID{kind, named("r")}, Version: "7", Generation: c.generation, Parents: c.there}}
			changes := Changes(&Wanted{Status: status}, there, at(9))
			got := ""
			if len(changes) > 0 {
				got = patched(t, &changes[0])
			}
			if got != c.patch {
				t.Errorf("%s %s:\n got %s\nwant %s", kind, name, got, c.patch)
			}
		}
	}
}

func TestGateways(t *testing.T) {
	t.Parallel()
	address := []gatewayv1.GatewayStatusAddress{{Value: "192.0.2.1"}}
	compiled := gatewayv1.GatewayStatus{
		Conditions: []metav1.Condition{said(accepted, 2, 0), said(programmed, 2, 0)},
		Listeners:  []gatewayv1.ListenerStatus{listener("http", 1, said(accepted, 2, 0), said(programmed, 2, 0))},
	}
	const ready = "Accepted=True (Accepted) g2 t%d, Programmed=True (Programmed) g2 t%d"
	same := gatewayv1.GatewayStatus{
		Addresses: address, Conditions: []metav1.Condition{said(accepted, 2, 5), said(programmed, 2, 5)},
		Listeners: []gatewayv1.ListenerStatus{listener("http", 1, said(accepted, 2, 5), said(programmed, 2, 5))},
	}
	with := func(edit func(*gatewayv1.GatewayStatus)) gatewayv1.GatewayStatus {
		out := *same.DeepCopy()
		edit(&out)
		return out
	}
	for name, c := range map[string]struct {
		there      gatewayv1.GatewayStatus
		generation int64
		unserved   string
		patch      string
	}{
		"new": {
			gatewayv1.GatewayStatus{
				Addresses: address, Conditions: []metav1.Condition{said("Accepted=Unknown (Pending)", 0, 1), said(unknown, 0, 1)},
			},
			2, "",
			fmt.Sprintf(ready, 9, 9) + "; http 1: " + fmt.Sprintf(ready, 9, 9),
		},
		"unchanged":      {same, 2, "", ""},
		"kinds are null": {with(func(g *gatewayv1.GatewayStatus) { g.Listeners[0].SupportedKinds = nil }), 2, "", ""},
		"no address": {
			with(func(g *gatewayv1.GatewayStatus) { g.Addresses = nil }), 2, "",
			"Accepted=True (Accepted) g2 t5, Programmed=False (AddressNotAssigned) g2 t9; http 1: " + fmt.Sprintf(ready, 5, 5),
		},
		"not served": {
			same, 2, "port 20000: in use",
			"Accepted=True (Accepted) g2 t5, Programmed=False (Pending) g2 t9; " +
				"http 1: Accepted=True (Accepted) g2 t5, Programmed=False (Pending) g2 t9",
		},
		"conditions of others stay, listeners that left do not": {
			with(func(g *gatewayv1.GatewayStatus) {
				g.Conditions = append([]metav1.Condition{said(elsewhere, 1, 3)}, g.Conditions...)
				g.Listeners = append(g.Listeners, listener("gone", 1))
			}), 2, "",
			"example.com/Checked=True (Yes) g1 t3, " + fmt.Sprintf(ready, 5, 5) + "; http 1: " + fmt.Sprintf(ready, 5, 5),
		},
		"a condition that does not apply any more": {
			with(func(g *gatewayv1.GatewayStatus) {
				g.Conditions = append(g.Conditions, said("ResolvedRefs=True (ResolvedRefs)", 1, 3))
			}), 2, "",
			fmt.Sprintf(ready, 5, 5) + "; http 1: " + fmt.Sprintf(ready, 5, 5),
		},
		"one route more": {
			with(func(g *gatewayv1.GatewayStatus) { g.Listeners[0].AttachedRoutes = 0 }), 2, "",
			fmt.Sprintf(ready, 5, 5) + "; http 1: " + fmt.Sprintf(ready, 5, 5),
		},
		"compiled from an older generation": {gatewayv1.GatewayStatus{}, 3, "", ""},
	} {
		want := &Wanted{Status: &route.Status{Gateways: map[types.NamespacedName]gatewayv1.GatewayStatus{named("web"): compiled}}}
		if c.unserved != "" {
			want.Unserved = map[Listener]string{{named("web"), "http"}: c.unserved}
		}
		there := []Object{
			{ID: ID{Gateway, named("foreign")}, Version: "1", Gateway: gatewayv1.GatewayStatus{}},
			{ID: ID{Gateway, named("web")}, Version: "7", Generation: c.generation, Gateway: c.there},
		}
		changes := Changes(want, there, at(9))
		got := ""
		if len(changes) > 0 {
			got = patched(t, &changes[0])
		}
		if got != c.patch || len(changes) > 1 {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.patch)
		}
		if compiled.Conditions[1].Status != metav1.ConditionTrue || !compiled.Conditions[1].LastTransitionTime.IsZero() {
			t.Fatalf("%s: what was compiled has changed: %s", name, shown(compiled.Conditions))
		}
	}
}

// A policy has an entry for each Gateway by which its backend is called.
func TestPolicies(t *testing.T) {
	t.Parallel()
	ancestor := func(controller gatewayv1.GatewayController, name string, conditions ...metav1.Condition) gatewayv1.PolicyAncestorStatus {
		return gatewayv1.PolicyAncestorStatus{
			AncestorRef: gatewayv1.ParentReference{Name: gatewayv1.ObjectName(name)}, ControllerName: controller, Conditions: conditions,
		}
	}
	type list []gatewayv1.PolicyAncestorStatus
	for name, c := range map[string]struct {
		want, there list
		patch       string
	}{
		"new":       {list{ancestor(us, "web", said(accepted, 2, 0))}, nil, "web"},
		"unchanged": {list{ancestor(us, "web", said(accepted, 2, 0))}, list{ancestor("a", "x"), ancestor(us, "web", said(accepted, 2, 5))}, ""},
		"left":      {nil, list{ancestor("a", "x"), ancestor(us, "web", said(accepted, 2, 5)), ancestor("a", "y")}, "x y"},
		"stale":     {list{ancestor(us, "web", said(accepted, 1, 0))}, nil, ""},
	} {
		want := &Wanted{Status: &route.Status{TLSPolicies: map[types.NamespacedName][]gatewayv1.PolicyAncestorStatus{named("tls"): c.want}}}
		changes := Changes(want, []Object{{ID: ID{TLSPolicy, named("tls")}, Version: "7", Generation: 2, Ancestors: c.there}}, at(9))
		var got []string
		for i := range changes {
			var p struct {
				Status gatewayv1.PolicyStatus `json:"status"`
			}
			if err := json.Unmarshal(changes[i].Patch, &p); err != nil {
				t.Fatal(err)
			}
			for j := range p.Status.Ancestors {
				got = append(got, string(p.Status.Ancestors[j].AncestorRef.Name))
			}
		}
		if strings.Join(got, " ") != c.patch {
			t.Errorf("%s: %q, want %q", name, got, c.patch)
		}
	}
}
