package sim

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// confirmed is how long the steps of a root's replacement are apart: until every peer has the new bundle.
const confirmed = 3 * time.Second

func (w *world) clusterOf(i int) *cluster { return w.clusters[i%len(w.clusters)] }

// exportOf names a cluster's exports as a way that calls may take; see truth.
func (c *cluster) exportOf() string { return c.name + " export" }

// unexport takes a cluster's exports back for a time.
func unexport(w *world, f *Fault) func() {
	c := w.clusterOf(f.A)
	if !c.busy.take() {
		return nil
	}
	route := w.truth.begin(c.exportOf(), "not exported")
	var exported []bool
	c.changed(func() { exported, c.exported = c.exported, make([]bool, len(c.exported)) })
	return func() {
		c.changed(func() { c.exported = exported })
		route(0)
		c.busy.give()
	}
}

// policy has a cluster eject sooner and give an attempt less time, for a while.
func policy(w *world, f *Fault) func() {
	c := w.clusterOf(f.A)
	once, second := uint32(1), metav1.Duration{Duration: time.Second}
	base := metav1.Duration{Duration: 3 * time.Second}
	c.setPolicy(&v1alpha1.TrafficPolicySpec{
		OutlierDetection: &v1alpha1.OutlierDetection{ConsecutiveLocalOriginFailures: &once, Interval: &second, BaseEjectionTime: &base},
	})
	return func() { c.setPolicy(nil) }
}

// renewal gives a cluster's proxies another certificate. Nothing may fail for it.
func renewal(w *world, f *Fault) func() {
	c := w.clusterOf(f.A)
	c.changed(func() { c.serial++ })
	return nil
}

// replaceRoot replaces a cluster's root in steps, each confirmed: publish the new one, issue from it, drop the old one. What
// began with the old one is closed then.
func replaceRoot(w *world, f *Fault) func() {
	c := w.clusterOf(f.A)
	if !c.busy.take() {
		return nil
	}
	defer c.busy.give()
	edit := func(change func()) {
		c.changed(change)
		for _, o := range w.clusters {
			if o != c {
				o.changed(func() {})
			}
		}
	}
	next := 0
	edit(func() { next = c.issuing + 1; c.roots = []int{c.issuing, next} })
	pass(confirmed)
	edit(func() { c.issuing, c.serial = next, c.serial+1 })
	pass(confirmed)
	var ends []func(time.Duration)
	for _, p := range c.proxies {
		for _, q := range w.proxies() {
			if q.cluster != c {
				ends = append(ends, w.truth.begin(pathOf(p.name, q.name), "the root was dropped that the tunnel began with"),
					w.truth.begin(pathOf(p.name, q.name)+" route", "root dropped"))
			}
		}
	}
	edit(func() { c.roots = []int{next} })
	pass(watchLag)
	for _, end := range ends {
		end(time.Second)
	}
	return nil
}

// clock sets a proxy's clock wrong, by less than is tolerated. Nothing may fail for it.
func clock(w *world, f *Fault) func() {
	p := w.proxyOf(f.A)
	p.setSkew(time.Duration(f.N-120) * time.Second)
	return func() { p.setSkew(0) }
}
