package signals

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
)

// Caught are the signals that a process has caught.
type Caught struct{ reload chan os.Signal }

// Catch catches what would end the process without order, from now until Stop. To the Go runtime, most other signals mean nothing.
func Catch() *Caught {
	c := &Caught{reload: make(chan os.Signal, 1)}
	signal.Notify(c.reload, syscall.SIGHUP, syscall.SIGUSR1)
	// A reader of our logs that is gone must not end the process: writing fails instead.
	signal.Ignore(syscall.SIGPIPE)
	return c
}

// Stop gives the signals back.
func (c *Caught) Stop() { signal.Stop(c.reload) }

// Run calls reload for SIGHUP and SIGUSR1, also for one that came since Catch, until ctx ends; then it returns nil.
func (c *Caught) Run(ctx context.Context, log *zap.Logger, reload func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-c.reload:
			log.Info("reading files anew because of a signal", zap.Stringer("signal", s))
			reload()
		}
	}
}
