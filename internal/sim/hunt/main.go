package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/sim"
)

type options struct {
	seeds, from uint64
	procs       int
	repeat      int
	mutations   bool
	trace       bool
	only        string
	enough      int // seeds that may break rules before the hunt ends
}

func main() {
	var o options
	flag.Uint64Var(&o.seeds, "seeds", 1000, "how `many` seeds to run")
	flag.Uint64Var(&o.from, "from", 1, "the first `seed`")
	flag.IntVar(&o.procs, "procs", runtime.NumCPU(), "how many `processes` to run them in")
	flag.IntVar(&o.repeat, "repeat", 0, "run the first seed so `often`, and count how many runs agree")
	flag.BoolVar(&o.mutations, "mutations", false, "look for each mutation of the product's rules instead")
	flag.BoolVar(&o.trace, "trace", false, "print what happens, and shrink nothing")
	flag.StringVar(&o.only, "only", "", "of the mutations, those whose name has this `text`")
	flag.Parse()
	o.enough = mostFailed
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "hunt:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "eastway-sim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.mutations {
		return mutate(ctx, o, dir, out)
	}
	binary, err := build(ctx, dir, "")
	if err != nil {
		return err
	}
	if o.repeat > 0 {
		return repeat(ctx, o, binary, out)
	}
	t := newTally(out)
	failed, err := hunt(ctx, o, binary, t.add)
	t.print()
	if err != nil {
		return err
	}
	for _, r := range failed {
		if err := explain(ctx, binary, r, out); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d seeds broke a rule", len(failed))
	}
	return nil
}

// mostFailed is how many seeds may break rules before the hunt ends.
const mostFailed = 5

// hunt runs all seeds, or until too many have failed, and returns those that did, by seed.
func hunt(ctx context.Context, o options, binary string, each func(*sim.Reply)) ([]*sim.Reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu     sync.Mutex
		next   = o.from
		failed []*sim.Reply
		wg     sync.WaitGroup
	)
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= o.from+o.seeds && len(failed) < o.enough
	}
	for range o.procs {
		wg.Go(func() {
			w := &worker{binary: binary}
			defer w.stop()
			for seed, more := take(); more && ctx.Err() == nil; seed, more = take() {
				r, err := w.do(ctx, sim.Request{Seed: seed, Trace: o.trace})
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				each(r)
				if len(r.Violations) > 0 {
					failed = append(failed, r)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(failed, func(a, b *sim.Reply) int { return int(a.Seed) - int(b.Seed) })
	return failed, context.Cause(ctx)
}

// explain prints what a seed broke, and the trace of the shortest plan that still does.
func explain(ctx context.Context, binary string, r *sim.Reply, out io.Writer) error {
	const shrinkRuns = 300
	_, _ = fmt.Fprintf(out, "\nseed %d broke a rule:\n", r.Seed)
	for _, v := range r.Violations {
		_, _ = fmt.Fprintf(out, "  %v\n", v)
	}
	w := &worker{binary: binary}
	defer w.stop()
	s := &shrinker{w: w, rule: r.Violations[0].Rule, most: shrinkRuns}
	p := sim.NewPlan(r.Seed)
	if !s.breaks(ctx, p) {
		_, _ = fmt.Fprintf(out, "it did not %d times more: chances that no seed decides play a part\n", tries)
		return ctx.Err()
	}
	p = s.shrink(ctx, p)
	_, _ = fmt.Fprintf(out, "after %d runs the shortest plan that still does has %d faults, %d calls and %d clients:\n",
		s.runs, len(p.Faults), len(p.Calls), len(p.Clients))
	for i := range p.Faults {
		_, _ = fmt.Fprintf(out, "  %v\n", &p.Faults[i])
	}
	for i := range p.Calls {
		_, _ = fmt.Fprintf(out, "  %v\n", &p.Calls[i])
	}
	for i := range p.Clients {
		_, _ = fmt.Fprintf(out, "  %v\n", &p.Clients[i])
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "for internal/sim/testdata/found: %s\n", text)
	for range tries + 1 {
		last, err := w.do(ctx, sim.Request{Plan: p, Trace: true})
		if err != nil {
			return err
		}
		if len(last.Violations) > 0 {
			_, _ = fmt.Fprintf(out, "trace (seconds of virtual time):\n%s", last.Trace)
			for _, v := range last.Violations {
				_, _ = fmt.Fprintf(out, "  %v\n", v)
			}
			break
		}
	}
	return nil
}

// repeat runs one seed many times and counts the runs that agree.
func repeat(ctx context.Context, o options, binary string, out io.Writer) error {
	digests := map[uint64]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	left := o.repeat
	for range o.procs {
		wg.Go(func() {
			w := &worker{binary: binary}
			defer w.stop()
			for {
				mu.Lock()
				left--
				more := left >= 0
				mu.Unlock()
				if !more {
					return
				}
				r, err := w.do(ctx, sim.Request{Seed: o.from})
				if err != nil {
					return
				}
				mu.Lock()
				digests[r.Digest]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	most := 0
	for n := range maps.Values(digests) {
		most = max(most, n)
	}
	_, _ = fmt.Fprintf(out, "seed %d: %d of %d runs agree\n", o.from, most, o.repeat)
	return ctx.Err()
}

// tally adds up what runs have shown.
type tally struct {
	out        io.Writer
	began      time.Time
	said       time.Time
	seeds      int
	calls      int
	requests   int
	virtual    time.Duration
	injected   map[string]int
	exceptions map[string]int
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, began: time.Now(), said: time.Now(), injected: map[string]int{}, exceptions: map[string]int{}}
}

// sayEvery is how often a long hunt prints its progress.
const sayEvery = 30 * time.Second

func (t *tally) add(r *sim.Reply) {
	t.seeds++
	t.calls += r.Calls
	t.requests += r.Requests
	t.virtual += r.Virtual
	for k, n := range r.Injected {
		t.injected[k] += n
	}
	for k, n := range r.Exceptions {
		t.exceptions[k] += n
	}
	if r.Trace != "" {
		_, _ = fmt.Fprint(t.out, r.Trace)
	}
	if time.Since(t.said) > sayEvery {
		t.said = time.Now()
		t.line()
	}
}

func (t *tally) line() {
	_, _ = fmt.Fprintf(t.out, "%d seeds, %.1f per second, %d calls, %d HTTP requests, %.0f hours of virtual time\n",
		t.seeds, float64(t.seeds)/time.Since(t.began).Seconds(), t.calls, t.requests, t.virtual.Hours())
}

func (t *tally) print() {
	t.line()
	for _, list := range []struct {
		title string
		of    map[string]int
	}{{"faults", t.injected}, {"calls and requests that failed and may", t.exceptions}} {
		_, _ = fmt.Fprintf(t.out, "%s:\n", list.title)
		for _, k := range slices.Sorted(maps.Keys(list.of)) {
			_, _ = fmt.Fprintf(t.out, "%8d  %s\n", list.of[k], k)
		}
	}
}
