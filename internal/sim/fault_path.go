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

func silence(w *world, f *Fault) func() {
	a, b := w.proxyOf(f.A), w.proxyOf(f.B)
	switch {
	case a.cluster == b.cluster:
		return nil
	case w.plan.Memory:
		return w.hold(f)
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
	switch {
	case a.cluster == b.cluster:
		return nil
	case w.plan.Memory:
		return w.hold(f)
	}
	end := w.silencePath(f, pathOf(a.name, b.name), "the path to the peer's proxy was silent")
	w.net.Silence(a.host.Addr(), b.host.Addr())
	return func() {
		w.net.Heal(a.host.Addr(), b.host.Addr())
		end()
	}
}

// hold is a silence of the in-memory transport, which falls silent between all proxies at once.
func (w *world) hold(f *Fault) func() {
	if !w.held.take() {
		return nil
	}
	var ends []func()
	for _, path := range w.wide() {
		ends = append(ends, w.silencePath(f, path, "the path to the peer's proxy was silent"))
	}
	w.memory.Hold(true)
	return func() {
		w.memory.Hold(false)
		for _, end := range ends {
			end()
		}
		w.held.give()
	}
}

// wide are the paths between proxies of different clusters.
func (w *world) wide() []string {
	var paths []string
	for i, a := range w.proxies() {
		for _, b := range w.proxies()[:i] {
			if a.cluster != b.cluster {
				paths = append(paths, pathOf(a.name, b.name))
			}
		}
	}
	return paths
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

// cut resets everything between two proxies at once, of the in-memory transport between all.
func cut(w *world, f *Fault) func() {
	if w.plan.Memory {
		for _, path := range w.wide() {
			w.truth.note(path, "the connections to the peer's proxy were cut", time.Now(), time.Now().Add(time.Second))
			w.truth.note(path+" route", "cut", time.Now(), time.Now())
		}
		w.memory.Cut()
		return nil
	}
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
