package balance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// maxProblems is how many ports Problems lists.
const maxProblems = 16

// Problems are the ports of which endpoints or peers are ejected, or of which nothing takes connections, each with one of them.
func (tb *Table) Problems() []string {
	tb.mu.Lock()
	groups := slices.Collect(maps.Values(tb.groups))
	tb.mu.Unlock()
	return problems(groups)
}

func problems(groups []*group) []string {
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(a.key.Service.Compare(b.key.Service), cmp.Compare(a.key.Port, b.key.Port))
	})
	var out []string
	more := 0
	for _, g := range groups {
		switch text := problem(g); {
		case text == "":
		case len(out) < maxProblems:
			out = append(out, fmt.Sprintf("service %s, port %d: %s; 'eastway endpoints' shows all", g.key.Service, g.key.Port, text))
		default:
			more++
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%d more ports with ejected endpoints or peers", more))
	}
	return out
}

// problem is what keeps calls from some or all targets; empty: nothing.
func problem(g *group) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.vacancy == vacant {
		return "no endpoint or peer takes connections, as probes find: callers are refused until one does"
	}
	members, ejected, _ := g.members()
	if ejected == 0 {
		return ""
	}
	var example *target
	for _, t := range g.targets {
		if t.member && t.isEjected() && (example == nil || t.address.String() < example.address.String()) {
			example = t
		}
	}
	return fmt.Sprintf("%d of %d endpoints and peers ejected, such as %s (%s)", ejected, members, example.address, example.kind)
}
