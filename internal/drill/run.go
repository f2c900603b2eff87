package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/internal/admin"
)

const (
	// renewal is how often leases are renewed: several times within one.
	renewal = time.Second
	// patience is how long one proxy may take to answer, so that a slow one does not cost the others their lease.
	patience = 2 * time.Second
)

// errAllLost: no proxy answers any more.
var errAllLost = errors.New("no proxy answers any more; each has ended the drill by itself within 5s")

// Proxy is one that takes part.
type Proxy struct {
	// Name is its pod; empty: it is the one on this machine.
	Name   string
	Client *admin.Client
}

// Result is what has come of a drill at all proxies.
type Result struct {
	drill.Report
	Proxies int `json:"proxies"`
	// Lost are proxies that stopped answering, with why; their last reports are counted.
	Lost []string `json:"lost,omitempty"`
}

// OverBudget is true if more calls failed than the operator allowed.
func (r *Result) OverBudget() bool { return r.Calls.Failed > uint64(max(r.Spec.Budget, 0)) }

// participant is a proxy with its run.
type participant struct {
	Proxy
	id   string
	last drill.Report
	err  error
}

// operator keeps a drill going.
type operator struct {
	spec drill.Spec
	all  []*participant
}

// run has the proxies begin, and returns when all have ended: by ctx, which is the operator's wish, the time, or the budget of
// all together. progress gets what there is so far, about once a second.
func run(ctx context.Context, proxies []Proxy, spec *drill.Spec, progress func(*Result)) (*Result, error) {
	o := &operator{spec: *spec}
	for _, p := range proxies {
		o.all = append(o.all, &participant{Proxy: p})
	}
	if err := o.start(ctx); err != nil {
		return nil, err
	}
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			o.stop(ctx)
			return o.result(), nil
		case <-tick.C:
		}
		o.each(ctx, http.MethodPost)
		if ctx.Err() != nil {
			continue
		}
		r := o.result()
		if len(r.Lost) == len(o.all) {
			return r, errAllLost
		}
		progress(r)
		if r.OverBudget() {
			o.stop(ctx)
			r = o.result()
			r.Ended = "its error budget is spent"
			return r, nil
		}
		if !slices.ContainsFunc(o.all, func(p *participant) bool { return p.err == nil && p.last.Ended == "" }) {
			return r, nil
		}
	}
}

// start begins a run at every proxy, or at none.
func (o *operator) start(ctx context.Context) error {
	var errs []error
	for _, p := range o.all {
		var answer begun
		if err := p.Client.Send(ctx, http.MethodPost, path, &o.spec, &answer); err != nil {
			errs = append(errs, fmt.Errorf("start the drill%s: %w", at(p.Name), err))
			break
		}
		p.id = answer.ID
	}
	if len(errs) > 0 {
		o.stop(ctx)
	}
	return errors.Join(errs...)
}

func at(name string) string {
	if name == "" {
		return ""
	}
	return " at " + name
}

// stop ends all runs, also when ctx is over. One that cannot be reached ends by itself.
func (o *operator) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	o.each(ctx, http.MethodDelete)
}

// each sends a request about its run to every proxy that takes part, and keeps the reports.
func (o *operator) each(ctx context.Context, method string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range o.all {
		if p.id == "" {
			continue
		}
		all.Go(func() {
			var found drill.Report
			if p.err = p.Client.Send(ctx, method, path+"/"+p.id, struct{}{}, &found); p.err == nil {
				p.last = found
			}
		})
	}
	all.Wait()
}

func (o *operator) result() *Result {
	r := &Result{Proxies: len(o.all), Report: drill.Report{Spec: o.spec}}
	for _, p := range o.all {
		if p.err != nil {
			r.Lost = append(r.Lost, strings.TrimSpace(p.Name+" "+p.err.Error()))
		}
		if p.last.ID != "" {
			r.Spec.Scope = p.last.Spec.Scope // with what the proxy has filled in
			r.Merge(&p.last)
		}
	}
	return r
}
