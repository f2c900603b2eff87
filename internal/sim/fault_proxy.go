package sim

import "time"

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
	w.replace(p, func() {})
	p.busy.give()
	return nil
}

// replace drains a proxy and starts another process in its place, after a change.
func (w *world) replace(p *proxy, change func()) {
	route := w.truth.begin(p.route(), "replaced")
	p.drain()
	change()
	p.start()
	w.awaitReady(p)
	route(0)
}

// proxyMove is proxyReplace by a process that peers have to dial at another address.
func proxyMove(w *world, f *Fault) func() {
	p := w.proxyOf(f.A)
	if !p.busy.take() {
		return nil
	}
	w.replace(p, func() {
		p.cluster.changed(func() { p.port++ })
		for _, c := range w.clusters { // operators edit the Peer manifests
			if c != p.cluster {
				c.changed(func() {})
			}
		}
	})
	p.busy.give()
	return nil
}

// rolling replaces the proxies of a cluster one after the other.
func rolling(w *world, f *Fault) func() {
	for _, p := range w.clusters[f.A%len(w.clusters)].proxies {
		if p.busy.take() {
			w.replace(p, func() {})
			p.busy.give()
		}
	}
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
