package entry

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/terminal"
)

// Report is the answer of the admin listener.
type Report struct {
	Listeners []ListenerReport `json:"listeners"`
	Routes    []RouteReport    `json:"routes"`
	Problems  []string         `json:"problems,omitempty"`
}

// ListenerReport is one listener of a Gateway.
type ListenerReport struct {
	Gateway  string `json:"gateway"`
	Name     string `json:"name"`
	Routes   int32  `json:"routes"`
	Ready    bool   `json:"ready"`
	Problems string `json:"problems,omitempty"`
}

// RouteReport is one route, or BackendTLSPolicy, at one parent.
type RouteReport struct {
	Kind     string `json:"kind"`
	Route    string `json:"route"`
	Parent   string `json:"parent"`
	Ready    bool   `json:"ready"`
	Problems string `json:"problems,omitempty"`
}

// reportOf sums up conditions.
func reportOf(s *route.Status) *Report {
	r := &Report{Listeners: []ListenerReport{}, Routes: []RouteReport{}}
	for name, g := range s.Gateways {
		for i := range g.Listeners {
			l := &g.Listeners[i]
			faults := faultsOf(l.Conditions)
			r.Listeners = append(r.Listeners, ListenerReport{
				Gateway: name.String(), Name: string(l.Name), Routes: l.AttachedRoutes, Ready: faults == "", Problems: faults,
			})
		}
	}
	for name, g := range s.Gateways {
		if faults := gatewayFaults(g.Conditions); faults != "" {
			r.Routes = append(r.Routes, RouteReport{Kind: "Gateway", Route: name.String(), Problems: faults})
		}
	}
	r.addRoutes("HTTPRoute", s.Routes)
	r.addRoutes("GRPCRoute", s.GRPCRoutes)
	for name, ancestors := range s.TLSPolicies {
		for i := range ancestors {
			faults := faultsOf(ancestors[i].Conditions)
			r.Routes = append(r.Routes, RouteReport{
				Kind: "BackendTLSPolicy", Route: name.String(), Parent: string(ancestors[i].AncestorRef.Name), Ready: faults == "", Problems: faults,
			})
		}
	}
	slices.SortFunc(r.Listeners, func(a, b ListenerReport) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(r.Routes, func(a, b RouteReport) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Parent, b.Parent))
	})
	return r
}

func (r *Report) addRoutes(kind string, of map[types.NamespacedName][]gatewayv1.RouteParentStatus) {
	for name, parents := range of {
		for i := range parents {
			faults := faultsOf(parents[i].Conditions)
			r.Routes = append(r.Routes, RouteReport{
				Kind: kind, Route: name.String(), Parent: string(parents[i].ParentRef.Name), Ready: faults == "", Problems: faults,
			})
		}
	}
}

// gatewayFaults are those that no listener shows: of its client certificate, and that it lets clients in without a valid one.
func gatewayFaults(all []metav1.Condition) string {
	var out []metav1.Condition
	for i := range all {
		switch gatewayv1.GatewayConditionType(all[i].Type) {
		case gatewayv1.GatewayConditionResolvedRefs, gatewayv1.GatewayConditionInsecureFrontendValidationMode:
			out = append(out, all[i])
		}
	}
	return faultsOf(out)
}

// faultsOf are the conditions that are not as they should be. Some should be false.
func faultsOf(all []metav1.Condition) string {
	var out []string
	for i := range all {
		c := &all[i]
		good := metav1.ConditionTrue
		if c.Type == "Conflicted" || c.Type == string(gatewayv1.GatewayConditionInsecureFrontendValidationMode) {
			good = metav1.ConditionFalse
		}
		if c.Status != good {
			out = append(out, fmt.Sprintf("%s=%s (%s): %s", c.Type, c.Status, c.Reason, c.Message))
		}
	}
	return strings.Join(out, "; ")
}

// show writes a report for a person.
func show(w io.Writer, r *Report) error {
	var rows [][]string
	for i := range r.Listeners {
		l := &r.Listeners[i]
		rows = append(rows, []string{l.Gateway, l.Name, fmt.Sprint(l.Routes), terminal.YesNo(l.Ready), terminal.Printable(l.Problems)})
	}
	if err := terminal.Table(w, []string{"GATEWAY", "LISTENER", "ROUTES", "READY", "PROBLEMS"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	rows = nil
	for i := range r.Routes {
		o := &r.Routes[i]
		rows = append(rows, []string{o.Kind, o.Route, o.Parent, terminal.YesNo(o.Ready), terminal.Printable(o.Problems)})
	}
	if err := terminal.Table(w, []string{"KIND", "NAME", "PARENT", "READY", "PROBLEMS"}, rows); err != nil {
		return err
	}
	for i, p := range r.Problems {
		if i == 0 {
			fmt.Fprintln(w, "\nproblems:")
		}
		fmt.Fprintln(w, "  "+terminal.Printable(p))
	}
	return nil
}
