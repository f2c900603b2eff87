package sim

import (
	"time"

	"github.com/eastway/eastway/internal/sim/simnet"
)

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
			pass(min(2*time.Second, f.For))
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
			pass(min(3*time.Second, f.For))
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
	a.cluster.changed(func() { a.terminating = true })
	pass(3 * time.Second) // preStop: it serves on
	route := w.truth.begin(a.route(), "out of service")
	a.stopAccepting()
	pass(10 * time.Second)
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
