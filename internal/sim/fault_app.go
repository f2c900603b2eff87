package sim

import (
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
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
	healed := w.noticed(a, f, 2*time.Second)
	return func() {
		a.start()
		gone(0)
		healed()
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
	healed := w.noticed(a, f, 3*time.Second)
	return func() {
		a.setMode(simnet.Accepting)
		healed()
		route(0)
		a.busy.give()
	}
}

// noticed makes an app unready after a while, if f is a fault that Kubernetes notices and has not healed by then. What it returns
// makes the app ready.
func (w *world) noticed(a *app, f *Fault, after time.Duration) (healed func()) {
	over := false // guarded by the cluster
	if f.N == 0 {
		w.faults.Go(func() {
			pass(min(after, f.For))
			a.cluster.changed(func() { a.ready = a.ready && over })
		})
	}
	return func() { a.cluster.changed(func() { over, a.ready = true, true }) }
}

// appPause stops an app for a time: its kernel goes on.
func appPause(w *world, f *Fault) func() {
	a := w.appOf(f.A)
	if !a.busy.take() { // an app that stops accepting loses what its kernel has accepted meanwhile
		return nil
	}
	a.host.Pause(f.For)
	return a.busy.give
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

// appTurn has an app refuse connections, which its cluster ejects it for at once, and then all others of its service in place of
// it: calls must find the one that is ejected.
func appTurn(w *world, f *Fault) func() {
	a := w.appOf(f.A)
	var others []*app
	for _, o := range w.apps() {
		if o.service == a.service && o != a {
			others = append(others, o)
		}
	}
	all := append([]*app{a}, others...)
	for i, o := range all {
		if !o.busy.take() {
			for _, taken := range all[:i] {
				taken.busy.give()
			}
			return nil
		}
	}
	once := uint32(1)
	a.cluster.setPolicy(&v1alpha1.TrafficPolicySpec{
		OutlierDetection: &v1alpha1.OutlierDetection{ConsecutiveLocalOriginFailures: &once},
	})
	accept := w.refuse(a)
	pass(f.For)
	accept()
	var back []func()
	for _, o := range others {
		back = append(back, w.refuse(o))
	}
	return func() {
		for _, accept := range back {
			accept()
		}
		a.cluster.setPolicy(nil)
		for _, o := range all {
			o.busy.give()
		}
	}
}

// refuse has an app refuse connections until accept is called.
func (w *world) refuse(a *app) (accept func()) {
	route := w.truth.begin(a.route(), "taking no connections")
	a.setMode(simnet.Refusing)
	return func() {
		a.setMode(simnet.Accepting)
		route(0)
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
