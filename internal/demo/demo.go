package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// ErrInterrupted means that the context ended before the script did.
var ErrInterrupted = errors.New("interrupted; everything that was started is ended")

const (
	// DefaultRate is requests per second from each zone of cn-hangzhou. Each zone of ap-northeast-1
	// sends half as many, so that with the first region's mockb broken a third of all calls between
	// services cross the tunnel.
	DefaultRate = 20
	maxRate     = 500
	// foreignShare is the other cluster's part of the rate.
	foreignShare = 0.5

	minPace = 0.05
	maxPace = 20
)

// Options are the flags of `eastway demo`.
type Options struct {
	// Executable is the eastway binary of which every process is one.
	Executable string
	// Dir is where the world's files are left, a new or empty directory; "": a temporary
	// directory that is removed at the end.
	Dir string
	// JSON is the file that gets the Report; "": none.
	JSON string
	// Rate is requests per second from each zone of cn-hangzhou; 0 is DefaultRate.
	Rate float64
	// Pace multiplies the length of the phases; 0 is 1.
	Pace float64
	// Keep leaves the world up until the context ends, without load and faults.
	Keep bool
	// Restart brings killed processes back, with Keep.
	Restart <-chan struct{}
	// Out gets what is shown; Width is its terminal's width in columns, nil when it is none.
	Out   io.Writer
	Width func() int
}

// Validate names the flag that is wrong.
func (o *Options) Validate() error {
	switch {
	case o.Executable == "" || o.Out == nil:
		return errors.New("the demo needs an executable and something to print to")
	case o.Rate != 0 && !(o.Rate >= 1 && o.Rate <= maxRate):
		return fmt.Errorf("--rate %v must be between 1 and %d requests per second", o.Rate, maxRate)
	case o.Pace != 0 && !(o.Pace >= minPace && o.Pace <= maxPace):
		return fmt.Errorf("--pace %v must be between %v and %v", o.Pace, minPace, maxPace)
	case o.Keep && o.JSON != "":
		return errors.New("--json has nothing to write with --keep, which runs no phases")
	}
	return nil
}

// Run builds the world, plays the script and prints the table, or leaves the world
// up. No process and, unless Dir is given, no file of the world is left when it
// returns. It is an error if anything failed that need not have.
func Run(ctx context.Context, o Options) (err error) {
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.Pace == 0 {
		o.Pace = 1
	}
	if err := o.Validate(); err != nil {
		return err
	}
	if o.JSON != "" {
		if err := writable(o.JSON); err != nil {
			return err
		}
	}
	topo, claim, err := claimAddresses(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, claim.Close()) }()
	files, remove, err := makeLayout(o.Dir, topo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()

	return o.in(ctx, topo, files)
}

// in plays in a world whose files are there.
func (o *Options) in(ctx context.Context, topo topology, files layout) error {
	v := &view{out: o.Out, begun: time.Now(), width: o.Width}
	running, end := context.WithCancelCause(ctx)
	// A process that ends by itself ends the demo, unless a user is playing with it.
	var kept atomic.Bool
	sup := newSupervisor(o.Executable, files.logs(), files.run(), func(err error) {
		if kept.Load() {
			v.say("%v", err)
			return
		}
		end(err)
	})
	defer sup.close()
	defer end(nil) // kills every process
	w := &world{
		topo: topo, files: files, sup: sup, ledger: new(ledger), agent: newAgent(topo, files), say: v.say,
		procs: make(map[string]*process), state: make(map[string]string),
	}
	var leading sync.WaitGroup
	defer leading.Wait()
	defer end(nil)
	leading.Go(func() {
		if err := w.agent.run(running); err != nil {
			end(err)
		}
	})
	err := w.up(running)
	switch {
	case err != nil:
	case o.Keep:
		kept.Store(true)
		keep(running, w, v, o.Executable, o.Restart)
	default:
		err = o.perform(running, end, w, v)
	}
	switch cause := context.Cause(running); {
	case ctx.Err() != nil && o.Keep:
		return nil // that is how it is ended
	case ctx.Err() != nil:
		return ErrInterrupted
	case cause != nil:
		return cause // what ended it is more than what failed because of that
	default:
		return err
	}
}

// perform plays the script under load and reports.
func (o *Options) perform(ctx context.Context, end context.CancelCauseFunc, w *world, v *view) error {
	rec := &recorder{}
	d := &director{world: w, rec: rec, view: v, pace: o.Pace}
	traffic := load{rec: rec, entries: entries(w.topo, o.Rate, w.agent.pick), gone: w.callersGone}

	var loading, viewing sync.WaitGroup
	loadCtx, endLoad := context.WithCancel(ctx)
	defer endLoad()
	viewCtx, endView := context.WithCancel(ctx)
	defer endView()
	loading.Go(func() { traffic.run(loadCtx) })
	viewing.Go(func() { v.follow(viewCtx, d.live) })

	err := d.play(ctx)
	endLoad()
	if err != nil {
		end(err) // else requests to a world that does not work would be waited for
	}
	loading.Wait()
	endView()
	viewing.Wait()
	if err != nil {
		return err
	}
	return o.conclude(d, w, v)
}

// conclude makes the report of what was played.
func (o *Options) conclude(d *director, w *world, v *view) error {
	ran, err := readExecutions(w.files, w.topo)
	if err != nil {
		return err
	}
	calls, err := readCalls(w.files, w.topo)
	if err != nil {
		return err
	}
	report := evidence{
		topo: w.topo, phases: d.phases, records: d.rec.ended.All(), ledger: w.ledger, executions: ran, calls: calls, missed: d.missed,
	}.report()
	if err := quoteAccessLogs(w.files, w.topo, report.Unexpected); err != nil {
		return err
	}
	v.plain(report.print(w.topo))
	if o.JSON != "" {
		if err := report.write(o.JSON); err != nil {
			return err
		}
	}
	return report.err()
}

// entries are all zones with their shares of the load.
func entries(t topology, rate float64, pick func(z zone, service string) (string, error)) []entry {
	var entries []entry
	for _, z := range t.zones() {
		e := entry{zone: z, rate: rate, find: func(service string) (string, error) { return pick(z, service) }}
		if z.cluster != homeCluster {
			e.rate *= foreignShare
		}
		entries = append(entries, e)
	}
	return entries
}
