package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

const (
	// deltaTime bounds the wait for one change to be known.
	deltaTime = time.Minute
	// endpointPoll is how often a proxy is polled for a change, and so how exact the time is.
	endpointPoll = 2 * time.Millisecond
	// deltaPause between two changes is longer than proxies gather them: each is measured for itself.
	deltaPause = 200 * time.Millisecond
)

// scattered are services to be changed, far from each other.
func (b *bench) scattered() []int {
	const stride = 7919 // a prime: no service comes twice before all have come
	all := make([]int, 0, b.o.deltas)
	for k := range b.o.deltas {
		all = append(all, k*stride%b.o.services)
	}
	return all
}

// changeHere makes endpoints of the cluster's services not ready in the API, and ready again, and times when each peer knows.
func (b *bench) changeHere(ctx context.Context) error {
	before, err := b.look(ctx)
	if err != nil {
		return err
	}
	var all []time.Duration
	down := map[int]bool{}
	for _, i := range b.scattered() {
		down[i] = !down[i]
		took, err := b.changeOne(ctx, i, down[i])
		if err != nil {
			return err
		}
		all = append(all, took...)
		if err := sleep(ctx, deltaPause); err != nil {
			return err
		}
	}
	b.report.latencies("delta, API to a peer's catalog:", all)
	after, err := b.look(ctx)
	if err != nil {
		return err
	}
	each := b.mean(&before, &after)
	deltas := float64(b.o.deltas)
	b.report.work("delta: bytes from a proxy to a peer", each.sent/deltas/float64(b.o.peers), bytesUnit)
	b.report.work("delta: allocations of a proxy", each.allocations/deltas, times)
	b.report.work("delta: writes", after.since(&before, b.controller).writes/deltas, times)
	b.report.add(figure{Name: "delta: CPU of a proxy", Value: each.cpu / deltas * 1e3, Unit: milliseconds})
	for i, is := range down {
		if is {
			if err := b.cluster.setReady(ctx, i, true); err != nil {
				return err
			}
		}
	}
	_, err = b.still(ctx, "the changes to be taken back", writesButPeers, func() error { return nil }, metricWrites)
	return err
}

// changeOne returns how long after the request was sent each peer knew.
func (b *bench) changeOne(ctx context.Context, i int, down bool) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, deltaTime)
	defer cancel()
	ready := endpoints
	if down {
		ready--
	}
	took := make([]time.Duration, len(b.peers))
	waits, waiting := errgroup.WithContext(ctx)
	began := time.Now()
	for n, p := range b.peers {
		waits.Go(func() error {
			err := p.hears(waiting, i, ready)
			took[n] = time.Since(began)
			return err
		})
	}
	return took, errors.Join(b.cluster.setReady(ctx, i, !down), waits.Wait())
}

// changeThere makes all pods of a peer's service not ready, and ready again, and times when each proxy knows.
func (b *bench) changeThere(ctx context.Context) error {
	var clients []*admin.Client
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	for _, p := range b.proxies {
		c, err := admin.NewClient(p.admin)
		if err != nil {
			return fmt.Errorf("ask %s: %w", p.name, err)
		}
		clients = append(clients, c)
	}
	var all []time.Duration
	down := map[int]bool{}
	for _, i := range b.scattered() {
		down[i] = !down[i]
		took := make([]time.Duration, len(clients))
		waits, waiting := errgroup.WithContext(ctx)
		began := time.Now()
		b.setPeerReady(i, !down[i])
		for n, c := range clients {
			waits.Go(func() error {
				err := b.knows(waiting, c, i, !down[i])
				took[n] = time.Since(began)
				return err
			})
		}
		if err := waits.Wait(); err != nil {
			return err
		}
		all = append(all, took...)
		if err := sleep(ctx, deltaPause); err != nil {
			return err
		}
	}
	for i, is := range down {
		if is {
			b.setPeerReady(i, true)
		}
	}
	b.report.latencies("delta, a peer to a proxy's catalog:", all)
	return nil
}

func (b *bench) setPeerReady(i int, ready bool) {
	pods := 0
	if ready {
		pods = readyPods
	}
	b.peers[b.o.peerOf(i)].setReady(i, pods)
}

// knows returns when the proxy knows whether service i is ready at its peer.
func (b *bench) knows(ctx context.Context, c *admin.Client, i int, ready bool) error {
	name, peer := remote(i), b.peers[b.o.peerOf(i)].name
	return await(ctx, fmt.Sprintf("a proxy to know that %s is ready at %s: %t", name, peer, ready), endpointPoll, func() error {
		is, err := c.Endpoints(ctx, name.Namespace, name.Name)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(is.Endpoints, func(e status.Endpoint) bool { return e.Cluster == peer })
		if at < 0 || (is.Endpoints[at].Status == status.Healthy) != ready {
			return errors.New("not yet")
		}
		return nil
	})
}
