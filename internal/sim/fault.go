package sim

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/internal/sim/simnet"
)

// Fault is one thing that goes wrong, from At on for a time.
type Fault struct {
	Kind string
	At   time.Duration
	For  time.Duration
	// A and B are what it happens to: indexes of proxies or apps among all, or of clusters.
	A, B int
	// N is a count, as the kind takes it.
	N int64
}

func (f *Fault) String() string {
	return fmt.Sprintf("%s at %v for %v: %d, %d, %d", f.Kind, f.At, f.For, f.A, f.B, f.N)
}

// faultKind is how a kind of fault is planned and made.
type faultKind struct {
	weight      int
	least, most time.Duration // how long
	on          target        // what A is
	with        target        // what B is
	n           int64         // N is below it
	// apply makes it; the returned func, if any, undoes it after Fault.For.
	apply func(w *world, f *Fault) (undo func())
}

type target int

const (
	onNothing target = iota
	onProxy
	onApp
	onCluster
)

// faultNames are the kinds in a fixed order.
//
//nolint:gochecknoglobals // a constant
var faultNames = []string{
	"silence", "silence-one-way", "blip", "local-silence", "cut", "cut-at-byte", "slow-path",
	"app-kill", "app-refuse", "app-drop", "app-pause", "app-scale", "app-cut",
	"proxy-kill", "proxy-vanish", "proxy-replace", "proxy-pause", "proxy-slow",
}

func faultKinds() map[string]faultKind {
	const s = time.Second
	return map[string]faultKind{
		"silence":         {4, s / 2, 20 * s, onProxy, onProxy, 0, silence},
		"silence-one-way": {3, s / 2, 20 * s, onProxy, onProxy, 0, silenceOneWay},
		"blip":            {3, s / 10, 2 * s, onProxy, onProxy, 2, silenceOneWay},
		"local-silence":   {2, s / 10, 10 * s, onProxy, onApp, 0, localSilence},
		"cut":             {4, 0, 0, onProxy, onProxy, 0, cut},
		"cut-at-byte":     {4, 3 * s, 3 * s, onProxy, onProxy, 20_000, cutAtByte},
		"slow-path":       {2, s, 10 * s, onProxy, onProxy, 0, slowPath},
		"app-kill":        {5, s / 10, 15 * s, onApp, onNothing, 2, appKill},
		"app-refuse":      {3, s, 20 * s, onApp, onNothing, 2, appRefuse},
		"app-drop":        {3, s, 20 * s, onApp, onNothing, 2, appDrop},
		"app-pause":       {2, s, 8 * s, onApp, onNothing, 0, appPause},
		"app-scale":       {3, s, 15 * s, onApp, onNothing, 0, appScale},
		"app-cut":         {2, 0, 0, onProxy, onApp, 0, appCut},
		"proxy-kill":      {4, s / 10, 10 * s, onProxy, onNothing, 0, proxyKill},
		"proxy-vanish":    {3, s, 15 * s, onProxy, onNothing, 0, proxyVanish},
		"proxy-replace":   {4, 0, 0, onProxy, onNothing, 0, proxyReplace},
		"proxy-pause":     {2, s / 10, 2 * s, onProxy, onNothing, 0, proxyPause},
		"proxy-slow":      {2, s, 10 * s, onProxy, onNothing, 0, proxySlow},
	}
}

func (p *Plan) planFaults(r *rand.Rand) {
	kinds, total := faultKinds(), 0
	for _, name := range faultNames {
		total += kinds[name].weight
	}
	for range r.IntN(7) {
		n := r.IntN(total)
		for _, name := range faultNames {
			k := kinds[name]
			if n -= k.weight; n >= 0 {
				continue
			}
			f := Fault{Kind: name, At: between(r, 0, p.Traffic), For: k.least, A: p.pick(r, k.on), B: p.pick(r, k.with)}
			if k.most > k.least {
				f.For = between(r, k.least, k.most)
			}
			if k.n > 0 {
				f.N = r.Int64N(k.n)
			}
			p.Faults = append(p.Faults, f)
			break
		}
	}
}

func (p *Plan) pick(r *rand.Rand, t target) int {
	count := 1
	switch t {
	case onProxy:
		count = 0
		for _, c := range p.Clusters {
			count += c.Proxies
		}
	case onApp:
		count = 0
		for _, c := range p.Clusters {
			for _, n := range c.Apps {
				count += max(n, 0)
			}
		}
	case onCluster:
		count = len(p.Clusters)
	}
	return r.IntN(count)
}

// breakThings makes the planned faults, undoes each, and returns when all are undone.
func (w *world) breakThings() {
	kinds := faultKinds()
	for i := range w.plan.Faults {
		f := &w.plan.Faults[i]
		w.injected[f.Kind]++
		w.faults.Go(func() {
			time.Sleep(time.Until(w.start.Add(f.At)))
			w.trace.add("FAULT %v", f)
			undo := kinds[f.Kind].apply(w, f)
			if undo == nil {
				return
			}
			time.Sleep(f.For)
			w.trace.add("HEALED %v", f)
			undo()
		})
	}
}

// proxyOf and appOf take any index, so that a plan may be made shorter.
func (w *world) proxyOf(i int) *proxy {
	all := w.proxies()
	return all[i%len(all)]
}

func (w *world) appOf(i int) *app {
	all := w.apps()
	return all[i%len(all)]
}

const (
	// survived is how long a silence may last so that nothing is given up for it: dead after 6 s, less what TCP takes to send
	// again what was lost.
	survived = 3 * time.Second
	// settled is how long after a silence something may still be given up for it.
	settled = 4 * time.Second
)

// silencePath is the ground truth of a silence.
func (w *world) silencePath(f *Fault, path, why string) (end func()) {
	route := w.truth.begin(path+" route", why)
	if f.For < survived {
		return func() { route(0) }
	}
	given := w.truth.begin(path, why)
	return func() { given(settled); route(0) }
}

func silence(w *world, f *Fault) func() {
	a, b := w.proxyOf(f.A), w.proxyOf(f.B)
	if a.cluster == b.cluster {
		return nil
	}
	end := w.silencePath(f, pathOf(a.name, b.name), "the path to the peer's proxy was silent")
	w.net.Silence(a.host.Addr(), b.host.Addr())
	w.net.Silence(b.host.Addr(), a.host.Addr())
	return func() {
		w.net.Heal(a.host.Addr(), b.host.Addr())
		w.net.Heal(b.host.Addr(), a.host.Addr())
		end()
	}
}

func silenceOneWay(w *world, f *Fault) func() {
	a, b := w.proxyOf(f.A), w.proxyOf(f.B)
	if a.cluster == b.cluster {
		return nil
	}
	end := w.silencePath(f, pathOf(a.name, b.name), "the path to the peer's proxy was silent")
	w.net.Silence(a.host.Addr(), b.host.Addr())
	return func() {
		w.net.Heal(a.host.Addr(), b.host.Addr())
		end()
	}
}

// localSilence is between a proxy and an app of its own cluster, both ways.
func localSilence(w *world, f *Fault) func() {
	p, a := w.proxyOf(f.A), w.appOf(f.B)
	if p.cluster != a.cluster {
		return nil
	}
	route := w.truth.begin(pathOf(p.name, a.name)+" route", "the path to the endpoint was silent")
	w.net.Silence(p.host.Addr(), a.host.Addr())
	w.net.Silence(a.host.Addr(), p.host.Addr())
	return func() {
		w.net.Heal(p.host.Addr(), a.host.Addr())
		w.net.Heal(a.host.Addr(), p.host.Addr())
		route(settled)
	}
}

// cut resets everything between two proxies at once.
func cut(w *world, f *Fault) func() {
	a, b := w.proxyOf(f.A), w.proxyOf(f.B)
	path := pathOf(a.name, b.name)
	defer w.truth.begin(path, "the connections to the peer's proxy were cut")(time.Second)
	defer w.truth.begin(path+" route", "cut")(0)
	w.net.Cut(a.host.Addr(), b.host.Addr())
	return nil
}

// cutAtByte resets the connections between two proxies, each after so many bytes.
func cutAtByte(w *world, f *Fault) func() {
	a, b := w.proxyOf(f.A), w.proxyOf(f.B)
	path := pathOf(a.name, b.name)
	given := w.truth.begin(path, "the connections to the peer's proxy were cut")
	route := w.truth.begin(path+" route", "cut")
	w.net.CutAfter(a.host.Addr(), b.host.Addr(), f.N)
	return func() {
		w.net.CutNever(a.host.Addr(), b.host.Addr())
		given(time.Second)
		route(0)
	}
}

// slowPath makes a path slower than it was, both ways; nothing may fail for it.
func slowPath(w *world, f *Fault) func() {
	a, b := w.proxyOf(f.A).host.Addr(), w.proxyOf(f.B).host.Addr()
	if w.proxyOf(f.A).cluster == w.proxyOf(f.B).cluster {
		return nil
	}
	slow := w.plan.WAN
	slow.Latency += 100 * time.Millisecond
	slow.Jitter += 50 * time.Millisecond
	w.net.SetPath(a, b, slow)
	w.net.SetPath(b, a, slow)
	return func() {
		w.net.SetPath(a, b, w.plan.WAN)
		w.net.SetPath(b, a, w.plan.WAN)
	}
}

// appKill kills an app and starts it again. With N of 0 Kubernetes notices.
func appKill(w *world, f *Fault) func() {
	a := w.appOf(f.A)
	if !a.busy.take() {
		return nil
	}
	route := w.truth.begin(a.route(), "down")
	gone := w.truth.begin(a.name, "the endpoint died")
	a.kill()
	if f.N == 0 {
		w.faults.Go(func() {
			time.Sleep(min(2*time.Second, f.For))
			a.cluster.changed(func() { a.ready = false })
		})
	}
	return func() {
		a.start()
		gone(0)
		a.cluster.changed(func() { a.ready = true })
		route(0)
		a.busy.give()
	}
}

func appRefuse(w *world, f *Fault) func() { return appMode(w, f, simnet.Refusing) }
func appDrop(w *world, f *Fault) func()   { return appMode(w, f, simnet.Dropping) }

// appMode has an app take no connections; those that it has go on. With N of 0 Kubernetes notices.
func appMode(w *world, f *Fault, m simnet.Mode) func() {
	a := w.appOf(f.A)
	if !a.busy.take() {
		return nil
	}
	route := w.truth.begin(a.route(), "taking no connections")
	a.setMode(m)
	if f.N == 0 {
		w.faults.Go(func() {
			time.Sleep(min(3*time.Second, f.For))
			a.cluster.changed(func() { a.ready = false })
		})
	}
	return func() {
		a.setMode(simnet.Accepting)
		a.cluster.changed(func() { a.ready = true })
		route(0)
		a.busy.give()
	}
}

// appPause stops an app for a time: its kernel goes on.
func appPause(w *world, f *Fault) func() {
	w.appOf(f.A).host.Pause(f.For)
	return nil
}

// appScale takes an endpoint out of service in order, and puts it back.
func appScale(w *world, f *Fault) func() {
	a := w.appOf(f.A)
	if !a.busy.take() {
		return nil
	}
	route := w.truth.begin(a.route(), "out of service")
	a.cluster.changed(func() { a.terminating = true })
	time.Sleep(3 * time.Second) // preStop
	a.stopAccepting()
	time.Sleep(10 * time.Second)
	gone := w.truth.begin(a.name, "the endpoint was deleted, and the call took longer than its grace period")
	a.kill()
	a.cluster.changed(func() { a.listed = false })
	return func() {
		a.start()
		gone(0)
		a.cluster.changed(func() { a.listed, a.ready, a.terminating = true, true, false })
		route(0)
		a.busy.give()
	}
}

// appCut resets the connections between a proxy and an app.
func appCut(w *world, f *Fault) func() {
	p, a := w.proxyOf(f.A), w.appOf(f.B)
	if p.cluster != a.cluster {
		return nil
	}
	defer w.truth.begin(pathOf(p.name, a.name), "the connection to the endpoint was cut")(time.Second)
	w.net.Cut(p.host.Addr(), a.host.Addr())
	return nil
}

func proxyKill(w *world, f *Fault) func() {
	p := w.proxyOf(f.A)
	if !p.busy.take() {
		return nil
	}
	route, gone := w.truth.begin(p.route(), "down"), w.truth.begin(p.name, "a proxy died")
	p.kill()
	return func() {
		p.start()
		w.awaitReady(p)
		gone(time.Second)
		route(0)
		p.busy.give()
	}
}

// proxyVanish is a power failure of a proxy's host: the peers hear nothing of it.
func proxyVanish(w *world, f *Fault) func() {
	p := w.proxyOf(f.A)
	if !p.busy.take() {
		return nil
	}
	route, gone := w.truth.begin(p.route(), "down"), w.truth.begin(p.name, "a proxy's host vanished")
	p.host.Vanish()
	p.kill()
	return func() {
		p.host.Return()
		p.start()
		w.awaitReady(p)
		gone(settled)
		route(0)
		p.busy.give()
	}
}

// proxyReplace stops a proxy in order and starts another process in its place. Nothing may fail for it but what takes longer
// than the drain timeout.
func proxyReplace(w *world, f *Fault) func() {
	p := w.proxyOf(f.A)
	if !p.busy.take() {
		return nil
	}
	route := w.truth.begin(p.route(), "replaced")
	p.drain()
	p.start()
	w.awaitReady(p)
	route(0)
	p.busy.give()
	return nil
}

func proxyPause(w *world, f *Fault) func() {
	p := w.proxyOf(f.A)
	defer w.truth.begin(p.route(), "paused")(f.For)
	p.host.Pause(f.For)
	return nil
}

func proxySlow(w *world, f *Fault) func() {
	p := w.proxyOf(f.A)
	p.host.Slow(20 * time.Millisecond)
	return func() { p.host.Slow(0) }
}

// awaitReady waits until callers may be led to a proxy again.
func (w *world) awaitReady(p *proxy) {
	for !p.isReady() && w.ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
	}
}

// claim keeps two faults from working on the same process.
type claim struct{ taken atomic.Bool }

func (c *claim) take() bool { return c.taken.CompareAndSwap(false, true) }
func (c *claim) give()      { c.taken.Store(false) }
