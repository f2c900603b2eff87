package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/eastway/eastway/e2e/cluster/lab"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "scale: %v\n", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := defaults()
	cmd := &cobra.Command{
		Use:           "scale",
		Short:         "Measure Eastway with many services on a real API server",
		SilenceErrors: true, SilenceUsage: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.progress = cmd.ErrOrStderr()
			return measure(cmd, o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.services, "services", o.services, "that the cluster exports, and that the peers export together")
	f.IntVar(&o.peers, "peers", o.peers, "how many clusters are simulated")
	f.IntVar(&o.deltas, "deltas", o.deltas, "changes of readiness that are timed in each direction")
	f.DurationVar(&o.idle, "idle", o.idle, "how long it is watched that nothing is done when nothing happens")
	f.StringVar(&o.lab, "lab", "", "use this lab, which is up (go run ./e2e/cluster up --clusters 1 --emulated-version 1.32 --name …), and leave it")
	f.StringVar(&o.dir, "dir", o.dir, "for programs and logs")
	f.StringVar(&o.json, "json", "", "write the figures to this file")
	f.StringVar(&o.against, "against", "", "figures of a run with fewer services: fail if work has grown faster than services")
	return cmd
}

// measure, print, write and judge.
func measure(cmd *cobra.Command, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	if err := lab.Supported(); err != nil {
		return err
	}
	ctrllog.SetLogger(logr.Discard())
	var before *report
	if o.against != "" {
		r, err := readReport(o.against)
		if err != nil {
			return fmt.Errorf("--against: %w", err)
		}
		before = &r
	}
	r, err := run(cmd.Context(), o)
	r.print(cmd.OutOrStdout(), before) // also what was measured until it failed
	if err != nil {
		return err
	}
	if o.json != "" {
		err = r.write(o.json)
	}
	return errors.Join(err, r.judge(before))
}
