package sim

import "time"

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

func silence(w *world, f *Fault) func()       { return w.silenceProxies(f, false) }
func silenceOneWay(w *world, f *Fault) func() { return w.silenceProxies(f, true) }

// silenceProxies is a silence between two proxies of different clusters; the in-memory transport knows no one-way silence.
func (w *world) silenceProxies(f *Fault, oneWay bool) func() {
	a, b := w.proxyOf(f.A), w.proxyOf(f.B)
	if a.cluster == b.cluster {
		return nil
	}
	end := w.silencePath(f, pathOf(a.name, b.name), "the path to the peer's proxy was silent")
	from, to := a.host.Addr(), b.host.Addr()
	if w.plan.Memory {
		w.memory.HoldBetween(from.String(), to.String(), true)
		return func() {
			w.memory.HoldBetween(from.String(), to.String(), false)
			end()
		}
	}
	w.net.Silence(from, to)
	if !oneWay {
		w.net.Silence(to, from)
	}
	return func() {
		w.net.Heal(from, to)
		if !oneWay {
			w.net.Heal(to, from)
		}
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
	if w.plan.Memory {
		w.memory.CutBetween(a.host.Addr().String(), b.host.Addr().String())
		return nil
	}
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
