package route

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// twoGateways want the same ports.
func twoGateways(t *testing.T) *Manifests {
	t.Helper()
	const listeners = "spec:\n  gatewayClassName: eastway\n  listeners:\n  - {name: http, port: 80, protocol: HTTP}\n" +
		"  - {name: named, port: 80, protocol: HTTP, hostname: a.example}\n  - {name: other, port: 8080, protocol: HTTP}\n"
	return read(t, "kind: Gateway\nmetadata: {name: web}\n"+listeners, "kind: Gateway\nmetadata: {name: api}\n"+listeners, servicesYAML,
		routeOf("a", nil, `{matches: [{path: {value: /a}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: http, path: {`+
			`type: ReplaceFullPath, replaceFullPath: /b}}}]}`,
			`{matches: [{path: {value: /c}}], filters: [{type: RequestRedirect, `+
				`requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /d}}}]}`))
}

// Gateways with ports of their own in the process are apart, and redirects name the ports that clients know.
func TestBindings(t *testing.T) {
	t.Parallel()
	m := twoGateways(t)
	m.Bindings = map[types.NamespacedName]Binding{named("web"): {80: 20000, 8080: 20001}, named("api"): {80: 20002, 8080: 20003}}
	table, status := Compile(m)
	if len(table.Ports()) != 4 {
		t.Fatalf("%d ports", len(table.Ports()))
	}
	for name, g := range status.Gateways {
		for i := range g.Listeners {
			if got := conditionOf(g.Listeners[i].Conditions, "Conflicted"); got != "False NoConflicts" {
				t.Errorf("%s %s: %s", name, g.Listeners[i].Name, got)
			}
		}
	}
	for at, want := range map[string]string{
		"20000 http://x/c": "http://x/d", "20001 http://x:8080/c": "http://x:8080/d", "20003 http://x/c": "404",
		"20000 http://a.example/c": "http://a.example/d",
		"80 http://x/c":            "404",
	} {
		var port uint16
		var target string
		if _, err := fmt.Sscan(at, &port, &target); err != nil {
			t.Fatal(err)
		}
		d := table.Match(port, request("GET "+target), 0)
		got := d.Location
		if d.Status == http.StatusNotFound {
			got = "404"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
		if d.Listener != nil && d.Listener.Port != map[uint16]uint16{20000: 80, 20001: 8080, 20003: 8080}[port] {
			t.Errorf("%s: the listener's port is %d", at, d.Listener.Port)
		}
	}
}

// programmed is True, or False while something is pending.
func programmed(all []metav1.Condition) string {
	return strings.NewReplacer("True Programmed", "True", "False Pending", "False").Replace(conditionOf(all, "Programmed"))
}

// What has no port in the process is accepted, and waits.
func TestPending(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		web, api Binding
		want     string // Programmed of web, of its listeners, and of api
		ports    int
	}{
		"both":         {Binding{80: 1, 8080: 2}, Binding{80: 3, 8080: 4}, "True, True True True, True", 4},
		"no Service":   {nil, Binding{80: 3, 8080: 4}, "False, False False False, True", 2},
		"one port yet": {Binding{80: 1}, Binding{80: 3, 8080: 4}, "False, True True False, True", 3},
		// api comes first by name.
		"another's": {Binding{80: 1, 8080: 3}, Binding{80: 3, 8080: 4}, "False, True True False, True", 3},
		"twice":     {Binding{80: 1, 8080: 1}, Binding{80: 3, 8080: 4}, "False, True True False, True", 3},
		"none":      {nil, nil, "False, False False False, False", 0},
	} {
		m := twoGateways(t)
		m.Bindings = map[types.NamespacedName]Binding{named("web"): c.web, named("api"): c.api}
		table, status := Compile(m)
		var listeners []string
		web := status.Gateways[named("web")]
		for i := range web.Listeners {
			listeners = append(listeners, programmed(web.Listeners[i].Conditions))
			if got := conditionOf(web.Listeners[i].Conditions, "Accepted"); got != "True Accepted" {
				t.Errorf("%s: %s", name, got)
			}
		}
		got := strings.Join([]string{
			programmed(web.Conditions), strings.Join(listeners, " "),
			programmed(status.Gateways[named("api")].Conditions),
		}, ", ")
		if got != c.want || len(table.Ports()) != c.ports {
			t.Errorf("%s: %s, %d ports; want %s, %d", name, got, len(table.Ports()), c.want, c.ports)
		}
	}
}

// Two listeners of a Gateway that cannot be distinguished are in conflict also while they have no port.
func TestConflictWithoutPort(t *testing.T) {
	t.Parallel()
	m := read(t, "kind: Gateway\nmetadata: {name: web}\nspec:\n  gatewayClassName: eastway\n  listeners:\n"+
		"  - {name: a, port: 80, protocol: HTTP}\n  - {name: b, port: 80, protocol: HTTP}\n")
	m.Bindings = map[types.NamespacedName]Binding{}
	_, status := Compile(m)
	g := status.Gateways[named("web")]
	if got := conditionOf(g.Listeners[0].Conditions, "Conflicted"); got != "True HostnameConflict" {
		t.Error(got)
	}
	if got := conditionOf(g.Conditions, "Programmed"); got != "False Invalid" {
		t.Error(got)
	}
}
