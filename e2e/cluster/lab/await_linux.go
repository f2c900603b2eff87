package lab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// Await returns when done has returned nil. It is called repeatedly until
// then, for the limit at most. The error says what was waited for ("the pods to
// be ready") and what done said last.
func Await(ctx context.Context, what string, limit time.Duration, done func(ctx context.Context) error) error {
	return wait{what: what, limit: limit, done: done}.run(ctx)
}

// daemonRef is a daemon whose end ends what waits for something of it.
type daemonRef struct {
	machine *machine.Machine
	name    string
}

// wait is for a condition.
type wait struct {
	// what is waited for, completing "wait for …".
	what string
	// limit of the time.
	limit time.Duration
	// done is called until it returns nil; its errors name what is missing.
	done func(ctx context.Context) error
	// by are the daemons that it depends on: if one ends, waiting is in vain.
	by []daemonRef
}

// run returns when the condition is met. Its error says what was waited for,
// what was missing at last, and how the logs of the daemons end.
func (w wait) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.limit, fmt.Errorf("not within %v", w.limit))
	defer cancel()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	var missing error
	for {
		call, stop := context.WithTimeout(ctx, callTime)
		err := w.done(call)
		stop()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil { // else it is only what the deadline cut off
			missing = err
		}
		if err := w.ended(ctx); err != nil {
			return fmt.Errorf("lab: wait for %s: %w", w.what, err)
		}
		select {
		case <-ctx.Done():
			if missing == nil {
				missing = err
			}
			return fmt.Errorf("lab: wait for %s: %w; at last: %w%s", w.what, context.Cause(ctx), missing, w.logs())
		case <-tick.C:
		}
	}
}

// ended reports a daemon that has ended.
func (w wait) ended(ctx context.Context) error {
	for _, by := range w.by {
		daemons, err := by.machine.Daemons(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the deadline has its own words
			}
			return err
		}
		for _, d := range daemons {
			if d.Name == by.name && !d.Running {
				return fmt.Errorf("%s on %s ended (%s); %s", by.name, by.machine.Name(), d.Ended, machine.LogTail(by.machine.Log(by.name)))
			}
		}
	}
	return nil
}

func (w wait) logs() string {
	var all strings.Builder
	for _, by := range w.by {
		fmt.Fprintf(&all, "\n%s on %s: %s", by.name, by.machine.Name(), machine.LogTail(by.machine.Log(by.name)))
	}
	return all.String()
}
