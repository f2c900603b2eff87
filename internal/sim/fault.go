package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync/atomic"
	"time"
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
	"app-kill", "app-refuse", "app-drop", "app-pause", "app-scale", "app-cut", "app-turn",
	"proxy-kill", "proxy-vanish", "proxy-replace", "proxy-pause", "proxy-slow", "proxy-move", "rolling",
	"unexport", "policy", "renewal", "root", "clock",
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
		"app-turn":        {3, s, 5 * s, onApp, onNothing, 0, appTurn},
		"proxy-kill":      {4, s / 10, 10 * s, onProxy, onNothing, 0, proxyKill},
		"proxy-vanish":    {3, s, 15 * s, onProxy, onNothing, 0, proxyVanish},
		"proxy-replace":   {4, 0, 0, onProxy, onNothing, 0, proxyReplace},
		"proxy-pause":     {2, s / 10, 2 * s, onProxy, onNothing, 0, proxyPause},
		"proxy-slow":      {2, s, 10 * s, onProxy, onNothing, 0, proxySlow},
		"proxy-move":      {2, 0, 0, onProxy, onNothing, 0, proxyMove},
		"rolling":         {2, 0, 0, onCluster, onNothing, 0, rolling},
		"unexport":        {2, s, 10 * s, onCluster, onNothing, 0, unexport},
		"policy":          {2, s, 15 * s, onCluster, onNothing, 0, policy},
		"renewal":         {2, 0, 0, onCluster, onNothing, 0, renewal},
		"root":            {2, 0, 0, onCluster, onNothing, 0, replaceRoot},
		"clock":           {2, s, 20 * s, onProxy, onNothing, 240, clock},
	}
}

func (p *Plan) planFaults(r *rand.Rand) {
	p.Faults = p.chooseFaults(r, faultNames, faultKinds(), r.IntN(7))
}

// chooseFaults plans so many faults of some kinds.
func (p *Plan) chooseFaults(r *rand.Rand, names []string, kinds map[string]faultKind, count int) (faults []Fault) {
	total := 0
	for _, name := range names {
		total += kinds[name].weight
	}
	for range count {
		n := r.IntN(total)
		for _, name := range names {
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
			faults = append(faults, f)
			break
		}
	}
	return faults
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
	maps.Copy(kinds, webFaultKinds())
	for i := range w.plan.Faults {
		f := &w.plan.Faults[i]
		w.injected[f.Kind]++
		w.faults.Go(func() {
			pass(time.Until(w.start.Add(f.At)))
			w.trace.Add("FAULT %v", f)
			undo := kinds[f.Kind].apply(w, f)
			if undo == nil {
				return
			}
			pass(f.For)
			w.trace.Add("HEALED %v", f)
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

// awaitReady waits until callers may be led to a proxy again.
func (w *world) awaitReady(p *proxy) {
	for !p.isReady() && w.ctx.Err() == nil {
		pass(100 * time.Millisecond)
	}
}

// claim keeps two faults from working on the same process.
type claim struct{ taken atomic.Bool }

func (c *claim) take() bool { return c.taken.CompareAndSwap(false, true) }
func (c *claim) give()      { c.taken.Store(false) }
