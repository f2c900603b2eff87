package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/sim/pki"
)

// Report is what one run of a plan has shown.
type Report struct {
	Seed       uint64
	Violations []Violation
	// Exceptions counts the calls that failed and may, by why.
	Exceptions map[string]int
	// Injected counts the faults, by kind.
	Injected map[string]int
	Calls    int
	Requests int // of HTTP
	Virtual  time.Duration
	// Digest is of what every call came to, and whether it was executed: runs with the same digest were alike. Which of equally
	// near endpoints executed it is chance.
	Digest uint64
}

// Run runs a plan in a bubble of its own, one at a time in a process. What happens is written to w, unless that is nil.
func Run(t *testing.T, p *Plan, keys *pki.PKI, w io.Writer) *Report {
	t.Helper()
	var r *Report
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		r = run(t.Context(), p, keys, w)
	})
	return r
}

func run(ctx context.Context, p *Plan, keys *pki.PKI, to io.Writer) *Report {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	return newWorld(ctx, p, keys, to).live(cancel) //nolint:contextcheck // the world has its own
}

// live is everything that happens in a world; end ends what runs in it.
func (w *world) live(end context.CancelFunc) *Report {
	began := time.Now()
	w.startAll()
	watched := make(chan struct{})
	go func() { defer close(watched); w.watchRamps() }()
	pass(warmUp)
	w.start = time.Now()
	w.breakThings()
	w.callAll()
	w.faults.Wait()
	w.net.HealAll()
	pass(watchLag)
	w.awaitRecovery()
	judge{w}.all()
	w.checkShares()
	w.shutDown(end)
	<-watched
	w.checkLeft()
	return &Report{
		Seed: w.plan.Seed, Violations: w.findings.violations, Exceptions: w.findings.exceptions, Injected: w.injected,
		Calls: len(w.ledger.outcomes), Requests: len(w.ledger.replies), Virtual: time.Since(began), Digest: w.ledger.digest(),
	}
}

// shutDown stops every process in order.
func (w *world) shutDown(cancel context.CancelFunc) {
	for i, p := range w.proxies() {
		if i%2 == 0 {
			p.kill()
		} else {
			p.drain()
		}
	}
	cancel()
	for _, a := range w.apps() {
		a.kill()
	}
}

func (l *ledger) digest() uint64 {
	var lines []string
	for _, o := range l.outcomes {
		lines = append(lines, fmt.Sprint(o.call.ID, o.err == nil, len(l.runs[o.call.ID])))
	}
	for _, r := range l.replies {
		lines = append(lines, fmt.Sprint(r.ask.ID, r.err == nil, len(l.runs[r.ask.ID])))
	}
	slices.Sort(lines)
	h := fnv.New64a()
	_, _ = io.WriteString(h, strings.Join(lines, "\n"))
	return h.Sum64()
}
