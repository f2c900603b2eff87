package drill

import (
	"cmp"
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
	// settling is how long it is waited after the end for the results of affected calls that are under way.
	settling = 5 * time.Second
)

// errAllLost: no proxy answers any more.
var errAllLost = errors.New("no proxy answers any more; each has ended the drill by itself within 5s")

// errLease: a proxy that answers has been without this command for too long before.
var errLease = errors.New("it was not reached within 5s and has ended the drill by itself")

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

// OverBudget is true if more affected calls failed than the operator allowed, or at one proxy more than its share.
func (r *Result) OverBudget() bool {
	return r.Affected.Failed > uint64(max(r.Spec.Budget, 0)) || r.Ended == drill.EndedByBudget
}

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

// run has the proxies begin, and returns when all have ended: by ctx, which is the operator's wish, the time, or the budget.
// progress gets what there is so far, about once a second.
func run(ctx context.Context, proxies []Proxy, spec *drill.Spec, progress func(*Result)) (*Result, error) {
	o := &operator{spec: *spec}
	for _, p := range proxies {
		o.all = append(o.all, &participant{Proxy: p})
	}
	err := o.start(ctx)
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return o.finish(ctx, drill.EndedByOperator), nil
		case <-tick.C:
		}
		o.each(ctx, http.MethodPost)
		if ctx.Err() != nil {
			continue
		}
		r := o.result()
		if len(r.Lost) == len(o.all) {
			r.Ended = cmp.Or(r.Ended, drill.EndedByLease)
			return r, errAllLost
		}
		progress(r)
		switch {
		case r.OverBudget():
			return o.finish(ctx, drill.EndedByBudget), nil
		case !slices.ContainsFunc(o.all, (*participant).goesOn):
			return o.finish(ctx, r.Ended), nil
		}
	}
}

// goesOn is true for a proxy whose run has not ended.
func (p *participant) goesOn() bool { return p.err == nil && p.last.Ended == "" }

// share is what each proxy may have fail by itself, rounded up; the budget of all is checked here.
func share(budget, proxies int) int { return (budget + proxies - 1) / max(proxies, 1) }

// start begins a run at every proxy, or at none.
func (o *operator) start(ctx context.Context) error {
	spec := o.spec
	spec.Budget = share(spec.Budget, len(o.all))
	begin, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	errs := make([]error, len(o.all))
	var all sync.WaitGroup
	for i, p := range o.all {
		all.Go(func() {
			var answer begun
			if err := p.Client.Send(begin, http.MethodPost, path, &spec, &answer); err != nil {
				errs[i] = fmt.Errorf("start the drill%s: %w", at(p.Name), err)
			}
			p.id = answer.ID
		})
	}
	all.Wait()
	err := errors.Join(errs...)
	if err != nil {
		o.stop(ctx)
	}
	return err
}

// finish ends all runs, and waits for calls under way, as far as proxies still answer.
func (o *operator) finish(ctx context.Context, why string) *Result {
	o.stop(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
	defer cancel()
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	r := o.result()
	for r.Pending > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			o.each(ctx, http.MethodPost)
			r = o.result()
		}
	}
	r.Ended = why
	return r
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
			err := p.Client.Send(ctx, method, path+"/"+p.id, struct{}{}, &found)
			if err == nil {
				p.last = found
				if found.Ended == drill.EndedByLease {
					err = errLease
				}
			}
			p.err = err
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
		if p.last.ID == "" {
			continue
		}
		r.Spec.Scope = p.last.Spec.Scope // with what the proxy has filled in
		last := p.last
		if last.Ended == drill.EndedByLease { // it is lost, and the others go on
			last.Ended = ""
		}
		r.Merge(&last)
	}
	return r
}
