package demo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// routes are, by service, the addresses that share a zone's calls to it. They stand for
// the rules that the node agent writes into the kernel: the caller does not see them.
type routes map[string][]netip.AddrPort

// nearest are the proxies that the callers of a zone are led to, as `eastway node` does it: those
// in the zone that are ready, else those in the rest of the cluster.
func nearest(c cluster, home zone, ready func(process string) bool) []target {
	var own, others []target
	for _, z := range c.zones {
		for _, proxy := range proxyRoles() {
			switch {
			case !ready(z.process(proxy)):
			case z.name == home.name:
				own = append(own, target{z, proxy})
			default:
				others = append(others, target{z, proxy})
			}
		}
	}
	if len(own) > 0 {
		return own
	}
	return others
}

// routesTo leads the calls of a zone to these proxies. Without any they go to the endpoint in the
// zone itself, as kube-proxy sends them then.
func routesTo(nearest []target, home zone) routes {
	r := make(routes)
	for _, role := range chain() {
		for _, p := range nearest {
			r[role] = append(r[role], p.zone.vip(p.role, role))
		}
		if len(nearest) == 0 {
			r[role] = []netip.AddrPort{home.app(role)}
		}
	}
	return r
}

// pick takes one of a service's addresses, each in its turn by chance.
func (r routes) pick(service string) (string, error) {
	to := r[service]
	if len(to) == 0 {
		return "", fmt.Errorf("no route to %s", service)
	}
	return to[rand.IntN(len(to))].String(), nil
}

// String is the file's text: a line per service.
func (r routes) String() string {
	var b strings.Builder
	for _, role := range chain() {
		b.WriteString(role)
		for _, to := range r[role] {
			b.WriteString(" " + to.String())
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (r routes) equal(o routes) bool {
	for _, role := range chain() {
		if !slices.Equal(r[role], o[role]) {
			return false
		}
	}
	return true
}

func parseRoutes(text string) (routes, error) {
	r := make(routes)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		for _, f := range fields[1:] {
			to, err := netip.ParseAddrPort(f)
			if err != nil {
				return nil, fmt.Errorf("route to %s: %w", fields[0], err)
			}
			r[fields[0]] = append(r[fields[0]], to)
		}
	}
	return r, nil
}

// lookup finds a service's address in the file as it is now.
func lookup(path, service string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the routes: %w", err)
	}
	r, err := parseRoutes(string(data))
	if err != nil {
		return "", fmt.Errorf("routes in %s: %w", path, err)
	}
	return r.pick(service)
}

// write replaces the file as a whole. It is not forced to disk: it matters as long as the demo runs.
func (r routes) write(path string) error {
	next := path + ".next"
	err := os.WriteFile(next, []byte(r.String()), fileMode)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return fmt.Errorf("write the routes: %w", err)
	}
	return nil
}
