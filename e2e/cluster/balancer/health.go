package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// probeTime is how long a node may take to say that it is healthy.
const probeTime = time.Second

// kubeProxyPort answers whether kube-proxy of a node is well: its default.
const kubeProxyPort = 10256

// check is a health check of a node for services that believe it after the same time.
type check struct {
	url string
	lag time.Duration
}

// check of a node for a service.
func (s service) check(n node) check {
	at := netip.AddrPortFrom(n.address, kubeProxyPort)
	if s.healthPort != 0 {
		at = netip.AddrPortFrom(n.address, uint16(s.healthPort)) // Kubernetes has checked that it is a port
	}
	return check{url: fmt.Sprintf("http://%s/healthz", at), lag: s.lag}
}

// checks of all services, each once.
func checks(services []service, nodes []node) []check {
	seen := make(map[check]bool)
	var all []check
	for _, s := range services {
		for _, n := range nodes {
			if c := s.check(n); !seen[c] {
				seen[c] = true
				all = append(all, c)
			}
		}
	}
	return all
}

// verdict on a node by one check.
type verdict struct {
	healthy bool      // what is believed
	differs time.Time // since when the answers say the opposite; zero: they do not
}

// health of the nodes.
type health struct {
	probe    func(ctx context.Context, url string) bool
	verdicts map[check]verdict
}

func newHealth(probe func(ctx context.Context, url string) bool) *health {
	return &health{probe: probe, verdicts: make(map[check]verdict)}
}

func (h *health) healthy(c check) bool { return h.verdicts[c].healthy }

// check all nodes at once; what is not checked any more is forgotten.
func (h *health) check(ctx context.Context, all []check) {
	answers := make([]bool, len(all))
	var group sync.WaitGroup
	for i, c := range all {
		group.Go(func() { answers[i] = h.probe(ctx, c.url) })
	}
	group.Wait()
	now := time.Now()
	verdicts := make(map[check]verdict, len(all))
	for i, c := range all {
		v, known := h.verdicts[c]
		verdicts[c] = v.hear(answers[i], known, now, c.lag)
	}
	h.verdicts = verdicts
}

// hear an answer: the first is believed at once, others when they have lasted.
func (v verdict) hear(answer, known bool, now time.Time, lag time.Duration) verdict {
	switch {
	case !known:
		return verdict{healthy: answer}
	case answer == v.healthy:
		return verdict{healthy: v.healthy}
	case v.differs.IsZero():
		v.differs = now
	}
	if now.Sub(v.differs) >= lag {
		return verdict{healthy: answer}
	}
	return v
}

// probe asks for a page that is there while a node is healthy.
func probe(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	// Each time a new connection, as a caller makes one.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}
