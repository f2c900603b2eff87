package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/e2e/loopback"
)

const (
	// A fault lasts between these.
	shortest = 200 * time.Millisecond
	longest  = 3 * time.Second
	// longestSilence is longer than a peer takes to be declared dead.
	longestSilence = 8 * time.Second
	// atOnce is how many faults happen at a time, at most.
	atOnce = 3
	// atRest is the time without a fault after some, at most.
	atRest = time.Second
)

// scene is where a fault happens: a peer and one of its two proxies and applications.
type scene struct {
	*world
	draw *rand.Rand
	peer int
	n    int // of the peer, an application or a proxy
	last time.Duration
}

// fault begins, lasts, and ends; what it did is undone when it returns.
type fault struct {
	kind string
	on   string // faults on the same thing do not meet
	run  func(ctx context.Context, s *scene) error
}

// Things of a scene.
const (
	onApp    = "application"
	onProxy  = "proxy"
	onRelays = "relays"
	onConfig = "configuration"
	onEntry  = "entry"
)

func faults() []fault {
	return []fault{
		{"kill -9 of an application", onApp, killApp},
		{"SIGSTOP of an application", onApp, stopApp},
		{"applications answer 503", onApp, mode(modeBroken)},
		{"applications cut", onApp, mode(modeCut)},
		{"applications send GOAWAY", onApp, mode(modeGoAway)},
		{"kill -9 of a proxy", onProxy, killProxy},
		{"SIGSTOP of a proxy", onProxy, stopProxy},
		{"drain of a proxy", onProxy, drainProxy},
		{"tunnels cut", onRelays, cutTunnels},
		{"tunnels silent", onRelays, silence},
		{"policy edited", onConfig, editPolicy},
		{"endpoint withdrawn", onConfig, withdraw},
		{"kill -9 of the caller's proxy", onEntry, killEntry},
		{"SIGSTOP of the caller's proxy", onEntry, stopEntry},
		{"drain of the caller's proxy", onEntry, drainEntry},
	}
}

// breakThings makes faults at even distances in the requests, and stops with the last one. It returns how many of which.
func (w *world) breakThings(ctx context.Context, l *load, ended <-chan struct{}) (map[string]int, error) {
	draw := rand.New(rand.NewPCG(w.o.seed, 1))
	done := make(map[string]int)
	for made := 0; made < w.o.faults; {
		due := float64(made+1) / float64(w.o.faults+1) // not at once: what may be repeated depends on the requests before
		if over := untilDue(ctx, l, due, ended); over {
			break
		}
		peer := east + draw.IntN(2)
		chosen := choose(draw, min(atOnce, w.o.faults-made))
		together, groupCtx := errgroup.WithContext(ctx)
		for _, f := range chosen {
			s := &scene{world: w, draw: rand.New(rand.NewPCG(draw.Uint64(), 0)), peer: peer, n: draw.IntN(perCluster)}
			s.last = shortest + time.Duration(draw.Int64N(int64(longest-shortest)))
			together.Go(func() error {
				if err := f.run(groupCtx, s); err != nil {
					return fmt.Errorf("%s: %w", f.kind, err)
				}
				return nil
			})
			done[f.kind]++
			made++
		}
		// Until the peer is whole again: the other one may be hit next.
		if err := errors.Join(together.Wait(), w.awaitPeers(ctx, peer)); err != nil {
			return done, err
		}
		if !pass(ctx, time.Duration(draw.Int64N(int64(atRest)))) {
			break
		}
		fmt.Fprintf(w.out, "%3.0f %%  %d faults\n", 100*l.progress(), made)
	}
	return done, nil
}

// untilDue reports whether it is over: the requests have ended, or ctx has.
func untilDue(ctx context.Context, l *load, due float64, ended <-chan struct{}) bool {
	tick := time.NewTicker(loopback.PollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return true
		case <-ctx.Done():
			return true
		case <-tick.C:
			if now := l.progress(); now >= due && now < 1 {
				return false
			}
		}
	}
}

// choose draws faults on different things.
func choose(draw *rand.Rand, most int) []fault {
	taken := make(map[string]bool)
	var chosen []fault
	all := faults()
	for _, i := range draw.Perm(len(all))[:1+draw.IntN(most)] {
		if f := all[i]; !taken[f.on] {
			taken[f.on] = true
			chosen = append(chosen, f)
		}
	}
	return chosen
}

// pass is false when ctx ends before.
func pass(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func killApp(ctx context.Context, s *scene) error {
	if err := s.app(s.peer, s.n).End(syscall.SIGKILL); err != nil {
		return err
	}
	pass(ctx, s.last)
	return s.startApp(ctx, s.peer, s.n)
}

func stopApp(ctx context.Context, s *scene) error { return stop(ctx, s.app(s.peer, s.n), s.last) }

func stop(ctx context.Context, p *loopback.Process, last time.Duration) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pass(ctx, last)
	return p.Signal(syscall.SIGCONT)
}

// mode is of both applications of the peer, or with one of home.
func mode(order string) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		second := s.peer
		if s.draw.IntN(2) == 0 {
			second = home
		}
		if err := errors.Join(s.setMode(s.peer, s.n, order), s.setMode(second, 1-s.n, order)); err != nil {
			return err
		}
		pass(ctx, s.last)
		return errors.Join(s.setMode(s.peer, s.n, modeOK), s.setMode(second, 1-s.n, modeOK))
	}
}

func killProxy(ctx context.Context, s *scene) error { return restart(ctx, s, syscall.SIGKILL) }

func drainProxy(ctx context.Context, s *scene) error { return restart(ctx, s, syscall.SIGTERM) }

func restart(ctx context.Context, s *scene, signal syscall.Signal) error {
	if err := s.proxy(s.peer, s.n).End(signal); err != nil {
		return err
	}
	pass(ctx, s.last)
	if err := s.startProxy(ctx, s.peer, s.n); err != nil {
		return err
	}
	return s.awaitProxy(ctx, s.peer, s.n)
}

// long is up to longestSilence.
func (s *scene) long() time.Duration {
	return time.Duration(s.last.Seconds() / longest.Seconds() * float64(longestSilence))
}

func stopProxy(ctx context.Context, s *scene) error { return stop(ctx, s.proxy(s.peer, s.n), s.long()) }

func cutTunnels(_ context.Context, s *scene) error {
	for _, r := range s.relays[s.peer] {
		r.cut()
	}
	return nil
}

func silence(ctx context.Context, s *scene) error {
	for _, r := range s.relays[s.peer] {
		r.setSilent(true)
	}
	pass(ctx, s.long())
	for _, r := range s.relays[s.peer] {
		r.setSilent(false)
	}
	return nil
}

func editPolicy(_ context.Context, s *scene) error {
	return errors.Join(s.writePolicies(home, policies(s.draw)), s.writePolicies(s.peer, policies(s.draw)))
}

func withdraw(ctx context.Context, s *scene) error {
	if err := s.writeServices(s.peer, []int{s.n}); err != nil {
		return err
	}
	pass(ctx, s.last)
	return s.writeServices(s.peer, []int{0, 1})
}

func killEntry(ctx context.Context, s *scene) error {
	s.shutEntry(1)
	defer s.openEntry(1)
	up := s.entryKilled(1)
	defer up()
	return restartEntry(ctx, s, syscall.SIGKILL)
}

// drainEntry is no excuse for what is under way; new calls go elsewhere before, as a readiness probe sees to.
func drainEntry(ctx context.Context, s *scene) error {
	s.shutEntry(1)
	defer s.openEntry(1)
	return restartEntry(ctx, s, syscall.SIGTERM)
}

func restartEntry(ctx context.Context, s *scene, signal syscall.Signal) error {
	if err := s.proxy(home, 1).End(signal); err != nil {
		return err
	}
	if err := s.startProxy(ctx, home, 1); err != nil {
		return err
	}
	return s.awaitProxy(ctx, home, 1)
}

// stopEntry is shorter than its peers wait before they end their links to it: without any, there is no endpoint for it.
func stopEntry(ctx context.Context, s *scene) error { return stop(ctx, s.proxy(home, 1), s.last) }
