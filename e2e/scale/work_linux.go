package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Metrics that are read of each process.
const (
	metricAllocations = "go_memstats_mallocs_total"
	metricHeap        = "go_memstats_heap_inuse_bytes"
	metricMemory      = "process_resident_memory_bytes"
	metricCPU         = "process_cpu_seconds_total"
	metricSent        = "eastway_discovery_exchange_bytes_total"
	metricWrites      = "eastway_controller_writes_total"
	metricReconciles  = "controller_runtime_reconcile_total"
	metricRequests    = "apiserver_request_total"
	metricTables      = "eastway_takeover_writes_total"
)

// counters of one process, which begin with it.
type counters struct {
	cpu         float64 // seconds
	allocations float64
	sent        float64 // bytes of catalog messages
	writes      float64
	tables      float64 // writings of a node's rules
}

// reading is how far all processes are.
type reading struct {
	at  time.Time
	of  map[*process]counters
	api float64 // CPU seconds of the API server
	// served are the API server's answered writes by resource, of all clients.
	served map[string]float64
}

// look at all processes.
func (b *bench) look(ctx context.Context) (reading, error) {
	r := reading{at: time.Now(), of: map[*process]counters{}, served: map[string]float64{}}
	for _, p := range b.processes() {
		s, err := p.metrics(ctx, metricAllocations, metricSent, metricWrites, metricTables)
		if err != nil {
			return r, err
		}
		c := counters{
			allocations: s.sum(metricAllocations), sent: s.sum(metricSent, `direction="sent"`), writes: s.sum(metricWrites),
			tables: s.sum(metricTables),
		}
		if c.cpu, err = p.cpu(); err != nil {
			return r, err
		}
		r.of[p] = c
	}
	writing := []string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}
	s, err := b.cluster.metrics(ctx, metricCPU, metricRequests)
	if err != nil {
		return r, err
	}
	r.api = s.sum(metricCPU)
	for i := range s {
		if s[i].name == metricRequests && slices.Contains(writing, s[i].label("verb")) {
			r.served[s[i].label("resource")] += s[i].value
		}
	}
	return r, nil
}

// since is what the process has done since an earlier reading, or since it was started if that was later.
func (r *reading) since(before *reading, p *process) counters {
	is, was := r.of[p], before.of[p]
	return counters{is.cpu - was.cpu, is.allocations - was.allocations, is.sent - was.sent, is.writes - was.writes, is.tables - was.tables}
}

// mean of what the proxies have done.
func (b *bench) mean(before, after *reading) counters {
	var sum counters
	n := float64(len(b.proxies))
	for _, p := range b.proxies {
		c := after.since(before, p)
		sum.cpu += c.cpu / n
		sum.allocations += c.allocations / n
		sum.sent += c.sent / n
		sum.writes += c.writes / n
	}
	return sum
}

// effort reports what a phase has cost.
func (b *bench) effort(ctx context.Context, phase string, before *reading) error {
	after, err := b.look(ctx)
	if err != nil {
		return err
	}
	c := after.since(before, b.controller)
	b.report.cpu(phase+": CPU of the controller", c.cpu)
	b.report.work(phase+": allocations of the controller", c.allocations, times)
	b.report.work(phase+": writes", c.writes, times)
	proxy := b.mean(before, &after)
	b.report.cpu(phase+": CPU of a proxy", proxy.cpu)
	b.report.cpu(phase+": CPU of the API server", after.api-before.api)
	b.report.work(phase+": allocations of a proxy", proxy.allocations, times)
	b.report.work(phase+": bytes from a proxy to a peer", proxy.sent/float64(b.o.peers), bytesUnit)
	// How often a node agent writes its rules depends on time: they end when they are not renewed.
	agent := after.since(before, b.agent)
	b.report.share(phase+": CPU of a node agent, of one core", agent.cpu, after.at.Sub(before.at))
	b.report.work(phase+": allocations of a node agent for each writing of its rules", agent.allocations/max(agent.tables, 1), times)
	return nil
}

// memoryOf reports what a process has now, and has had at most.
func (b *bench) memoryOf(ctx context.Context, phase, name string, p *process) error {
	s, err := p.metrics(ctx, metricMemory, metricHeap)
	if err != nil {
		return err
	}
	peak, err := p.peak()
	if err != nil {
		return err
	}
	b.report.memory(phase+": memory of "+name, s.sum(metricMemory))
	b.report.memory(phase+": Go heap of "+name, s.sum(metricHeap))
	b.report.memory(phase+": most memory of "+name+" so far", peak)
	return nil
}

// still returns when a counter of the controller has not changed for as long as quiet, and when it changed last. enough says
// whether it may be still already.
func (b *bench) still(ctx context.Context, what string, count func(samples) float64, enough func() error, names ...string) (time.Time, error) {
	last, changed := -1.0, time.Now()
	err := await(ctx, what, stillPoll, func() error {
		s, err := b.controller.metrics(ctx, names...)
		if err != nil {
			return err
		}
		if is := count(s); is != last {
			last, changed = is, time.Now()
		}
		if left := quietTime - time.Since(changed); left > 0 {
			return fmt.Errorf("%.0f until now", last)
		}
		if err := enough(); err != nil {
			changed = time.Now() // it is polled again after the next pause
			return err
		}
		return nil
	})
	return changed, err
}

const (
	// stillPoll is how often a counter is read.
	stillPoll = 250 * time.Millisecond
	// quietTime without a change is the end: the controller gathers for a tenth of that, and retries within it.
	quietTime = 3 * time.Second
)
