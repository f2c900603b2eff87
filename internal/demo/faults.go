package demo

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// kill ends processes with SIGKILL, all before any of them is waited for.
func (w *world) kill(targets []target) {
	var wait sync.WaitGroup
	for _, t := range targets {
		p := w.process(t.name())
		w.noteOut(t, outKilled)
		wait.Go(p.kill)
	}
	wait.Wait()
}

// stop freezes processes with SIGSTOP: silent, but not dead.
func (w *world) stop(targets []target) error {
	for _, t := range targets {
		w.noteOut(t, outStopped)
		if err := w.process(t.name()).signal(syscall.SIGSTOP); err != nil {
			return err
		}
	}
	return nil
}

// resume lets stopped processes go on.
func (w *world) resume(ctx context.Context, targets []target) error {
	for _, t := range targets {
		if err := w.process(t.name()).signal(syscall.SIGCONT); err != nil {
			return err
		}
		w.setState(t, stateUp)
	}
	for _, t := range targets {
		if err := w.awaitReady(ctx, t, readyTimeout); err != nil {
			return err
		}
		w.ledger.back(time.Now(), t.name())
	}
	return nil
}

func (w *world) noteOut(t target, kind string) {
	w.setState(t, kind)
	w.ledger.out(outage{
		process: t.name(), zone: t.zone.name, cluster: t.zone.cluster, role: t.role, kind: kind, from: time.Now(),
	})
}

// breakDown makes applications close their listening sockets and returns when they have.
func (w *world) breakDown(ctx context.Context, targets []target) error {
	err := w.doors(ctx, targets, syscall.SIGUSR1, outBroken, func(ctx context.Context, t target) error {
		return poll(ctx, readyTimeout, func(ctx context.Context) error {
			if err := dial(ctx, t.zone.app(t.role)); err == nil {
				return fmt.Errorf("%s still listens", t.name())
			}
			return nil
		})
	})
	for _, t := range targets {
		w.noteOut(t, outBroken) // only now is it certain that no call is accepted
	}
	return err
}

// repair makes them listen again and returns when they do.
func (w *world) repair(ctx context.Context, targets []target) error {
	w.ledger.back(time.Now(), processes(targets)...) // before any call can be accepted
	return w.doors(ctx, targets, syscall.SIGUSR2, stateUp, func(ctx context.Context, t target) error {
		return w.awaitReady(ctx, t, readyTimeout)
	})
}

func (w *world) doors(ctx context.Context, targets []target, sig syscall.Signal, state string,
	done func(context.Context, target) error,
) error {
	for _, t := range targets {
		if err := w.process(t.name()).signal(sig); err != nil {
			return err
		}
		w.setState(t, state)
	}
	waits, ctx := errgroup.WithContext(ctx)
	for _, t := range targets {
		waits.Go(func() error { return done(ctx, t) })
	}
	return waits.Wait()
}
