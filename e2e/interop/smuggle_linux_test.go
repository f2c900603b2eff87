package interop

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/failover/http/h1/h1test"
)

// TestSmuggling sends requests that parsers read in different ways, and mutations of them, through Eastway, nginx and haproxy, alone and
// behind each other. Whatever the first hop takes them for, the second one and the endpoint must see the same requests, or fewer; each
// is answered to the client that has sent it, and the next client gets the answer to its own.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	recorders := make([]*recorder, 7)
	for i := range recorders {
		recorders[i] = newRecorder(t)
	}
	nginx, haproxy := newHop(recorders[1].address), newHop(recorders[2].address)
	behindNginx, behindHAProxy := newHop(recorders[5].address), newHop(recorders[6].address)
	services := []service{
		newService("alone", "http", recorders[0].address),
		newService("behind-nginx", "http", recorders[3].address),
		newService("behind-haproxy", "http", recorders[4].address),
		newService("before-nginx", "http", behindNginx.at),
		newService("before-haproxy", "http", behindHAProxy.at),
	}
	beforeNginx, beforeHAProxy := newHop(services[1].near), newHop(services[2].near)
	w := newWorld(t, services...)
	startNginx(t, nginx, behindNginx, beforeNginx)
	startHAProxy(t, haproxy, behindHAProxy, beforeHAProxy)

	chains := []*chain{
		{name: "eastway", quiet: eastwayQuiet, front: services[0].near, back: recorders[0]},
		{name: "nginx", quiet: quiet, front: nginx.at, back: recorders[1]},
		{name: "haproxy", quiet: quiet, front: haproxy.at, back: recorders[2]},
		{name: "nginx-eastway", quiet: quiet, front: beforeNginx.at, back: recorders[3]},
		{name: "haproxy-eastway", quiet: quiet, front: beforeHAProxy.at, back: recorders[4]},
		{name: "eastway-nginx", quiet: eastwayQuiet, front: services[3].near, back: recorders[5]},
		{name: "eastway-haproxy", quiet: eastwayQuiet, front: services[4].near, back: recorders[6]},
	}
	known := h1test.Cases()
	cases := slices.Concat(known, mutated(*seed, *mutations))
	results := make(map[string][]*result)
	var running errgroup.Group
	for _, c := range chains {
		of := make([]*result, len(cases))
		results[c.name] = of
		running.Go(func() error {
			for i, one := range cases {
				r, err := c.run(one.Input, i)
				if r == nil {
					return fmt.Errorf("%s: %s/%s: %w", c.name, one.Class, one.Name, err)
				}
				if of[i] = r; err != nil {
					t.Errorf("%s: %s/%s: %v", c.name, one.Class, one.Name, err)
				}
			}
			return nil
		})
	}
	must(t, running.Wait())
	tcp := 0
	for i, one := range cases {
		if isCarriedAsTCP(one.Input) {
			tcp++
		}
		of := make(map[string]*result)
		for name, all := range results {
			of[name] = all[i]
		}
		errs := judge(&one, of)
		if i < len(known) {
			errs = append(errs, of["eastway"].expect(&one))
		}
		if err := errors.Join(errs...); err != nil {
			t.Errorf("%s/%s: %v", one.Class, one.Name, err)
		}
	}
	if n := w.metric(t, w.near, "eastway_connections_not_http_total", `"default/alone"`); int(n) != tcp {
		t.Errorf("%v connections were carried as TCP, want %d", n, tcp)
	}
	t.Log(table(known, chains, results))
}

// preface is what HTTP/2 begins with.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// isCarriedAsTCP: it does not begin like a request, so Eastway takes it for another protocol and changes nothing.
func isCarriedAsTCP(input string) bool {
	return !strings.HasPrefix(input, preface) && !regexp.MustCompile(`^([A-Z_-]{1,32} [/*hH]|CONNECT )`).MatchString(input)
}

// judge compares what the chains have made of a case.
func judge(c *h1test.Case, of map[string]*result) (errs []error) {
	for name, r := range of {
		front, back, two := strings.Cut(name, "-")
		if front == "eastway" && isCarriedAsTCP(c.Input) {
			front = back // Eastway is no hop of HTTP then
		}
		if !two || front == "" {
			continue
		}
		if err := r.within(of[front]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	// What nginx and haproxy refuse for its size alone, other settings would let pass.
	if c.Class != "size" && !isCarriedAsTCP(c.Input) && of["eastway"].accepts() && of["nginx"].refuses() && of["haproxy"].refuses() {
		errs = append(errs, errors.New("only Eastway accepts it"))
	}
	return errs
}

// expect what package h1 passes on, and the status of what it refuses. A request whose body is refused may not have come that far.
func (r *result) expect(c *h1test.Case) error {
	if isCarriedAsTCP(c.Input) || strings.HasPrefix(c.Input, preface) {
		return nil // it is no HTTP/1.1
	}
	whole, most, least := 0, c.Requests, c.Requests
	for _, got := range r.records {
		if got.whole && got.target != "/ending" {
			whole++
		}
	}
	if c.Reason != "" && c.Status == 0 || c.Endless {
		least--
	}
	if whole < least || whole > most {
		return fmt.Errorf("eastway: the endpoint got %d requests, want %d to %d", whole, least, most)
	}
	if last := len(r.statuses) - 1; c.Status != 0 && (last < 0 || r.statuses[last] != c.Status) {
		return fmt.Errorf("eastway: answers %d, want %d at last", r.statuses, c.Status)
	}
	return nil
}

// table has what the client got from each chain.
func table(cases []h1test.Case, chains []*chain, results map[string][]*result) string {
	var b strings.Builder
	b.WriteString("\n")
	row := func(name string, cell func(c *chain) string) {
		fmt.Fprintf(&b, "%-50.50s", name)
		for _, c := range chains {
			fmt.Fprintf(&b, " | %-15s", cell(c))
		}
		b.WriteString("\n")
	}
	row("case", func(c *chain) string { return c.name })
	for i, one := range cases {
		row(fmt.Sprintf("%s: %q", one.Class, one.Name), func(c *chain) string { return results[c.name][i].verdict() })
	}
	return b.String()
}
