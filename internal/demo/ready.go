package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/openloop"
	"github.com/eastway/eastway/internal/status"
)

const (
	// readyTimeout bounds one process's start, on a machine that is busy with others.
	readyTimeout = 20 * time.Second
	// connectTimeout bounds the wait for tunnels between the clusters: a few rounds of
	// jittered reconnects.
	connectTimeout = 20 * time.Second
	// pollEvery is the time between two polls of one condition.
	pollEvery = 50 * time.Millisecond
	// pollTimeout bounds one poll.
	pollTimeout = 2 * time.Second
	// dialTimeout is short: a listener that is being closed drops what comes in.
	dialTimeout = 200 * time.Millisecond
)

// awaitReady polls a process until it is ready.
func (w *world) awaitReady(ctx context.Context, t target, within time.Duration) error {
	target := "http://" + t.zone.app(t.role).String() + healthPath
	if isProxy(t.role) {
		target = "http://" + t.zone.admin(t.role).String() + admin.PathReadyz
	}
	client := newClient(nil, nil)
	client.Timeout = pollTimeout
	err := poll(ctx, within, func(ctx context.Context) error {
		_, err := openloop.Exchange(ctx, client, http.MethodGet, target, "", "")
		return err
	})
	if err != nil {
		return fmt.Errorf("%s is not ready after %s: %w; see %s",
			t.name(), within, err, filepath.Join(w.files.logs(), t.name()+".log"))
	}
	return nil
}

// awaitTunnels returns when every proxy of these clusters can use its peer for every service.
func (w *world) awaitTunnels(ctx context.Context, clusters ...string) error {
	return w.awaitPeers(ctx, peersHealthy, clusters...)
}

// awaitPeers returns when check passes for every proxy of these clusters.
func (w *world) awaitPeers(ctx context.Context, check func(context.Context, netip.AddrPort) error, clusters ...string) error {
	waits, ctx := errgroup.WithContext(ctx)
	for _, name := range clusters {
		for _, t := range proxies(w.topo.cluster(name).zones...) {
			waits.Go(func() error {
				err := poll(ctx, connectTimeout, func(ctx context.Context) error { return check(ctx, t.zone.admin(t.role)) })
				if err != nil {
					return fmt.Errorf("the peer of %s is not as it should be after %s: %w", t.name(), connectTimeout, err)
				}
				return nil
			})
		}
	}
	return waits.Wait()
}

// awaitLed returns when the calls of these zones are led to all of the zone's own proxies.
func (w *world) awaitLed(ctx context.Context, zones ...zone) error {
	return poll(ctx, conditionTimeout, func(context.Context) error {
		for _, t := range proxies(zones...) {
			if !w.agent.leadsTo(t) {
				return fmt.Errorf("no calls are led to %s", t.name())
			}
		}
		return nil
	})
}

// awaitNotLed returns when no calls are led to these proxies any more.
func (w *world) awaitNotLed(ctx context.Context, targets []target) error {
	return poll(ctx, conditionTimeout, func(context.Context) error {
		for _, t := range targets {
			if w.agent.leadsTo(t) {
				return fmt.Errorf("calls are still led to %s", t.name())
			}
		}
		return nil
	})
}

// awaitSettled waits until no proxy of these zones avoids an endpoint or a peer any more.
func (w *world) awaitSettled(ctx context.Context, zones ...string) error {
	waits, ctx := errgroup.WithContext(ctx)
	for _, t := range proxies(w.topo.zones()...) {
		if !slices.Contains(zones, t.zone.name) {
			continue
		}
		waits.Go(func() error {
			err := poll(ctx, returnTimeout, func(ctx context.Context) error { return outlierChecksOK(ctx, t.zone.admin(t.role)) })
			if err != nil {
				return fmt.Errorf("%s did not return to normal: %w", t.name(), err)
			}
			return nil
		})
	}
	return waits.Wait()
}

func outlierChecksOK(ctx context.Context, at netip.AddrPort) error {
	client, err := admin.NewClient(at.String())
	if err != nil {
		return err
	}
	defer client.Close()
	for _, role := range chain() {
		answer, err := client.Endpoints(ctx, namespace, role)
		if err != nil {
			return err
		}
		for i := range answer.Endpoints {
			switch e := &answer.Endpoints[i]; e.OutlierCheck {
			case status.CheckFailed, status.CheckProbing, status.CheckRamping:
				return fmt.Errorf("outlier check of %s at %s: %s", role, e.Address, e.OutlierCheck)
			}
		}
	}
	return nil
}

// peersHealthy and peersUnreachable check what `eastway endpoints SERVICE` shows of a proxy's peers.
func peersHealthy(ctx context.Context, at netip.AddrPort) error {
	return peersAre(ctx, at, status.Healthy)
}

func peersUnreachable(ctx context.Context, at netip.AddrPort) error {
	return peersAre(ctx, at, status.Unreachable)
}

func peersAre(ctx context.Context, at netip.AddrPort, want string) error {
	client, err := admin.NewClient(at.String())
	if err != nil {
		return err
	}
	defer client.Close()
	for _, role := range chain() {
		answer, err := client.Endpoints(ctx, namespace, role)
		if err != nil {
			return err
		}
		foreign := 0
		for i := range answer.Endpoints {
			e := &answer.Endpoints[i]
			if _, err := netip.ParseAddrPort(e.Address); err == nil {
				continue // a local endpoint; a peer is shown by its name
			}
			foreign++
			if e.Status != want {
				return fmt.Errorf("%s at peer %s is %s", role, e.Address, e.Status)
			}
		}
		if foreign == 0 {
			return fmt.Errorf("no peer exports %s yet", role)
		}
	}
	return nil
}

// awaitChains returns when each mocka was answered by the chain of its own zone.
func (w *world) awaitChains(ctx context.Context) error {
	for _, z := range w.topo.zones() {
		client := newClient(nil, func(service string) (string, error) { return w.agent.pick(z, service) })
		n := 0
		err := poll(ctx, readyTimeout, func(ctx context.Context) error {
			n++
			id := fmt.Sprintf("check-%s-%d", z.name, n)
			answer, err := call(ctx, client, http.MethodGet, serviceURL(roleMocka), id, "")
			if err != nil {
				return err
			}
			hops, whole := parseChain(answer)
			if r := (&record{entry: z.name, hops: hops}); !whole || !r.home() {
				return fmt.Errorf("the answer is not from that zone alone: %.200q", answer)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("calls in %s are not answered as they should be: %w", z.name, err)
		}
	}
	return nil
}

// poll calls check until it returns no error, for at most that long.
func poll(ctx context.Context, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // not "context deadline exceeded" when something better is known
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return last
		}
	}
}

// dial connects and closes at once.
func dial(ctx context.Context, to netip.AddrPort) error {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp4", to.String())
	if err != nil {
		return err
	}
	return conn.Close()
}
