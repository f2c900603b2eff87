package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/admin"
)

const (
	// probeEvery is the time between two probes of a proxy. A killed one refuses the next probe, so
	// callers are led to it for that long at most. The node agent's interval is 300 ms, for a cluster's sake.
	probeEvery = 100 * time.Millisecond
	// probeTimeout bounds one probe, as the node agent's.
	probeTimeout = 600 * time.Millisecond
	// maxTimeouts in a row mean that a proxy is silent: one may be this machine's own fault.
	maxTimeouts = 2
	// risingProbes in a row must succeed before a proxy that had failed is used again, as in the node agent.
	risingProbes = 2
)

// health judges a proxy by its probes. The zero value is that of a proxy that was never ready.
type health struct {
	ready    bool
	rising   int // probes in a row that succeeded
	timeouts int // in a row
}

// judge takes the outcome of one probe; ready is what the proxy answered, err that it did not.
func (h *health) judge(ready bool, err error) {
	timedOut := false
	if e, ok := errors.AsType[net.Error](err); ok {
		timedOut = e.Timeout()
	}
	switch {
	case err == nil && ready:
		h.timeouts, h.rising = 0, h.rising+1
		h.ready = h.ready || h.rising >= risingProbes
	case timedOut:
		h.rising, h.timeouts = 0, h.timeouts+1
		h.ready = h.ready && h.timeouts < maxTimeouts
	default:
		*h = health{}
	}
}

// agent stands for the node agents of all zones: it probes every proxy several times a second and
// leads each zone's calls to the nearest ones that are ready.
type agent struct {
	topo  topology
	files layout

	mu     sync.Mutex
	health map[string]health // by process
	routes map[string]routes // by zone; what is in the files
}

func newAgent(t topology, l layout) *agent {
	return &agent{topo: t, files: l, health: make(map[string]health), routes: make(map[string]routes)}
}

// run probes until ctx ends. The error is that of a file that cannot be written.
func (a *agent) run(ctx context.Context) error {
	probing, ctx := errgroup.WithContext(ctx)
	for _, z := range a.topo.zones() {
		for _, proxy := range proxyRoles() {
			probing.Go(func() error { return a.watch(ctx, target{z, proxy}) })
		}
	}
	return probing.Wait()
}

func (a *agent) watch(ctx context.Context, t target) error {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: probeTimeout}
	url := "http://" + t.zone.admin(t.role).String() + admin.PathReadyz
	again := time.NewTicker(probeEvery)
	defer again.Stop()
	for {
		ready, err := probe(ctx, client, url)
		if ctx.Err() != nil {
			return nil
		}
		if err := a.record(t, ready, err); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) (ready bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}

// record judges the probe and, when that changes where calls of the cluster go, writes its zones' files.
func (a *agent) record(t target, ready bool, probeErr error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.health[t.name()]
	h.judge(ready, probeErr)
	a.health[t.name()] = h
	c := a.topo.cluster(t.zone.cluster)
	for _, z := range c.zones {
		next := routesTo(nearest(c, z, func(process string) bool { return a.health[process].ready }), z)
		if next.equal(a.routes[z.name]) {
			continue
		}
		if err := next.write(a.files.routes(z)); err != nil {
			return err
		}
		a.routes[z.name] = next
	}
	return nil
}

// pick is the address to which a call of that zone goes now.
func (a *agent) pick(z zone, service string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.routes[z.name].pick(service)
}

// leadsTo reports whether any calls go to that proxy.
func (a *agent) leadsTo(t target) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	to := t.zone.vip(t.role, roleMocka)
	for _, r := range a.routes {
		if slices.Contains(r[roleMocka], to) {
			return true
		}
	}
	return false
}
