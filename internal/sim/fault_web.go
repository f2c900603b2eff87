package sim

import (
	"math/rand/v2"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// webFaultNames are the kinds that only HTTP requests see, in a fixed order.
//
//nolint:gochecknoglobals // a constant
var webFaultNames = []string{"web-unavailable", "web-half", "web-reset", "web-close", "web-policy"}

func webFaultKinds() map[string]faultKind {
	const s = time.Second
	return map[string]faultKind{
		"web-unavailable": {5, s, 12 * s, onApp, onNothing, 3, webUnavailable},
		"web-half":        {3, s, 6 * s, onApp, onNothing, 0, webHalf},
		"web-reset":       {3, s, 6 * s, onApp, onNothing, 2, webReset},
		"web-close":       {4, s, 12 * s, onApp, onNothing, int64(50 * time.Millisecond), webClose},
		"web-policy":      {3, s, 12 * s, onCluster, onNothing, 2, webPolicy},
	}
}

func (p *Plan) planWebFaults(r *rand.Rand) {
	p.Faults = append(p.Faults, p.chooseFaults(r, webFaultNames, webFaultKinds(), r.IntN(4))...)
}

// webFault has an app do something to HTTP requests for a time.
func (w *world) webFault(f *Fault, why string, m webMode) func() {
	a := w.appOf(f.A)
	if a.web == nil || !a.webBusy.take() {
		return nil
	}
	end := w.truth.begin(a.webRoute(), why)
	a.web.setMode(m)
	return func() {
		a.web.setMode(webMode{})
		end(time.Second)
		a.webBusy.give()
	}
}

// webUnavailable has an app answer that it, or what it needs, does not serve now.
func webUnavailable(w *world, f *Fault) func() {
	status := []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}[f.N%3]
	return w.webFault(f, "the endpoint answered that it is unavailable", webMode{status: status})
}

// webHalf has an app break off in the middle of each answer.
func webHalf(w *world, f *Fault) func() {
	return w.webFault(f, "the endpoint broke its answers off", webMode{half: true})
}

// webReset has an app end connections in place of an answer: when it has the request's head, or all of it.
func webReset(w *world, f *Fault) func() {
	return w.webFault(f, "the endpoint ended connections in place of an answer", webMode{unread: f.N == 0, reset: f.N == 1})
}

// webClose has an app close kept connections soon. Only requests that meet it at that moment may fail, see webServer.connState.
func webClose(w *world, f *Fault) func() {
	a := w.appOf(f.A)
	if a.web == nil || !a.webBusy.take() {
		return nil
	}
	a.web.setMode(webMode{close: time.Duration(f.N) + 1})
	return func() {
		a.web.setMode(webMode{})
		a.webBusy.give()
	}
}

// webPolicy has a cluster eject endpoints for their answers.
func webPolicy(w *world, f *Fault) func() {
	c := w.clusterOf(f.A)
	once, second := uint32(1), metav1.Duration{Duration: time.Second}
	base := metav1.Duration{Duration: 3 * time.Second}
	o := &v1alpha1.OutlierDetection{Consecutive5xxErrors: &once, Interval: &second, BaseEjectionTime: &base}
	if f.N == 1 {
		split := false
		o.ConsecutiveGatewayErrors, o.SplitExternalLocalOriginErrors = &once, &split
	}
	c.setPolicy(&v1alpha1.TrafficPolicySpec{OutlierDetection: o})
	return func() { c.setPolicy(nil) }
}
