package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/pace"
)

// completePoll is how often peers and proxies are polled for completeness: each poll costs them something.
const completePoll = 200 * time.Millisecond

// converge starts controller, proxies and a node agent in a cluster that has none of them, and waits until everything is written and known.
func (b *bench) converge(ctx context.Context) error {
	before, err := b.look(ctx)
	if err != nil {
		return err
	}
	if err := b.startController(ctx); err != nil {
		return err
	}
	if err := b.mountIdentity(ctx); err != nil {
		return err
	}
	if err := b.acquaint(); err != nil {
		return err
	}
	if err := b.startProxies(ctx); err != nil {
		return err
	}
	if err := b.startAgent(ctx); err != nil {
		return err
	}
	all := newTimings(ctx)
	all.add("first start: controller ready", b.controller.untilReady)
	all.add("first start: all imports written", func(ctx context.Context) (time.Duration, error) {
		at, err := b.written(ctx)
		return at.Sub(b.controller.started), err
	})
	all.add("first start: proxies ready", b.proxiesReady)
	all.add("first start: node agent ready", b.agent.untilReady)
	all.add("first start: every peer holds the catalog", func(ctx context.Context) (time.Duration, error) {
		err := b.peersComplete(ctx)
		return time.Since(b.proxies[0].started), err
	})
	if err := all.report(&b.report); err != nil {
		return err
	}
	if err := b.listening(ctx); err != nil {
		return err
	}
	return b.effort(ctx, "first start", &before)
}

// timings are of things that are waited for at the same time.
type timings struct {
	waits   *errgroup.Group
	waiting context.Context
	figures []*figure
}

func newTimings(ctx context.Context) *timings {
	t := &timings{}
	t.waits, t.waiting = errgroup.WithContext(ctx)
	return t
}

// add something that is waited for; it says how long it took.
func (t *timings) add(name string, wait func(context.Context) (time.Duration, error)) {
	f := &figure{Name: name, Unit: seconds}
	t.figures = append(t.figures, f)
	t.waits.Go(func() error {
		took, err := wait(t.waiting)
		f.Value = took.Seconds()
		return err
	})
}

// report all of them when they have ended.
func (t *timings) report(r *report) error {
	err := t.waits.Wait()
	for _, f := range t.figures {
		r.add(*f)
	}
	return err
}

// proxiesReady returns how long the slower proxy took.
func (b *bench) proxiesReady(ctx context.Context) (slowest time.Duration, err error) {
	took := make([]time.Duration, len(b.proxies))
	waits, ctx := errgroup.WithContext(ctx)
	for i, p := range b.proxies {
		waits.Go(func() (err error) {
			took[i], err = p.untilReady(ctx)
			return err
		})
	}
	err = waits.Wait()
	for _, t := range took {
		slowest = max(slowest, t)
	}
	return slowest, err
}

// peersComplete returns when every peer holds all that the cluster exports, from every proxy.
func (b *bench) peersComplete(ctx context.Context) error {
	return await(ctx, "the peers to hold the catalog", completePoll, func() error {
		for _, p := range b.proxies {
			if err := p.alive(); err != nil {
				return err
			}
		}
		for _, p := range b.peers {
			if err := p.complete(b.o.services, len(b.proxies)); err != nil {
				return err
			}
		}
		return nil
	})
}

// written returns when all imports, and what belongs to them, are written, and when the last of it was.
func (b *bench) written(ctx context.Context) (time.Time, error) {
	return b.still(ctx, "the imports to be written", writesButPeers, func() error {
		imports, ready, derived, err := b.cluster.written(ctx)
		if want := b.o.imports(); err == nil && (imports != want || ready != want || derived != want) {
			return fmt.Errorf("%d imports, %d ready, %d derived Services; %d of each are expected", imports, ready, derived, want)
		}
		return err
	}, metricWrites)
}

// writesButPeers leaves out the Peers' statuses, which follow round trips.
func writesButPeers(s samples) float64 {
	return s.sum(metricWrites) - s.sum(metricWrites, `kind="Peer"`)
}

// listening returns when every proxy listens for all imports.
func (b *bench) listening(ctx context.Context) error {
	for _, p := range b.proxies {
		err := await(ctx, p.name+" to listen", completePoll, func() error {
			return p.get(ctx, p.admin, admin.PathListeners, func(r io.Reader) error {
				var is admin.Listeners
				if err := json.NewDecoder(r).Decode(&is); err != nil {
					return fmt.Errorf("listeners of %s: %w", p.name, err)
				}
				if len(is.Listeners) != b.o.imports() {
					return fmt.Errorf("%s listens on %d of %d ports", p.name, len(is.Listeners), b.o.imports())
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rest watches that nothing is done when nothing happens, and how much memory that takes.
func (b *bench) rest(ctx context.Context) error {
	before, err := b.look(ctx)
	if err != nil {
		return err
	}
	if err := sleep(ctx, b.o.idle); err != nil {
		return err
	}
	after, err := b.look(ctx)
	if err != nil {
		return err
	}
	served := 0.0
	for resource, n := range after.served {
		switch resource {
		case "leases", "nodes", "pods", "serviceaccounts", "tokenreviews", "subjectaccessreviews", "events", "csinodes": // the nodes' own
		default:
			served += n - before.served[resource]
		}
	}
	// A Peer's status may follow a round trip that has changed by much.
	few := float64(2 * b.o.peers)
	b.report.add(figure{Name: "idle: writes that the API server answered, but for leases", Value: served, AtMost: few})
	took := after.at.Sub(before.at)
	c := after.since(&before, b.controller)
	b.report.add(figure{Name: "idle: writes of the controller", Value: c.writes, AtMost: few})
	b.report.share("idle: CPU of the controller, of one core", c.cpu, took)
	if err := b.memoryOf(ctx, "idle", "the controller", b.controller); err != nil {
		return err
	}
	b.report.share("idle: CPU of a proxy, of one core", b.mean(&before, &after).cpu, took)
	if err := b.memoryOf(ctx, "idle", "a proxy", b.proxies[0]); err != nil {
		return err
	}
	b.report.share("idle: CPU of a node agent, of one core", after.since(&before, b.agent).cpu, took)
	return b.memoryOf(ctx, "idle", "a node agent", b.agent)
}

func sleep(ctx context.Context, d time.Duration) error {
	if !pace.Sleep(ctx, d) {
		return context.Cause(ctx)
	}
	return nil
}
