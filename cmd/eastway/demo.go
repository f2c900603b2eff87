package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/demo"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/terminal"
)

func newDemoCommand() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run two clusters on this machine, break parts of them, and count the result of every request",
		Long: `Demo runs two clusters of two zones each on loopback addresses, without root: in every zone
two proxies and the applications mocka → mockb → mockc, each a process of its own. While
callers in every zone call mocka, services, proxies and a whole cluster fail and return.
At the end a table shows the results of the requests, and how many calls were saved. It
takes about 95 seconds and leaves nothing behind.

Calls go to the nearest ready proxy, as "eastway node" directs them in a Kubernetes
cluster; without one they go to endpoints of the caller's zone, as without Eastway.

It fails if a request failed that could have been saved, if one was executed twice, or
if failover or recovery took too long.

With --keep the world stays up until Ctrl-C, with commands to try.`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			exe, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program's own file: %w", err)
			}
			o.Executable, o.Out = exe, cmd.OutOrStdout()
			o.Width = terminal.Width(o.Out)
			if cmd.Flags().Changed("rate") && o.Rate == 0 {
				return command.Usagef("--rate 0: the demo needs requests, use 1 or more")
			}
			if err := o.Validate(); err != nil {
				return command.Usagef("%w", err)
			}
			return runDemo(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Keep, "keep", false,
		"leave everything up until Ctrl-C and print commands to try, instead of load and faults")
	flags.StringVar(&o.JSON, "json", "", "write the table to this `file` as JSON")
	flags.StringVar(&o.Dir, "dir", "",
		"new or empty `directory` for keys, manifests and logs, which are left there (default: temporary)")
	flags.Float64Var(&o.Rate, "rate", demo.DefaultRate,
		"`requests` per second from each zone of cn-hangzhou; half as many from each of ap-northeast-1")
	flags.Float64Var(&o.Pace, "pace", 1, "`factor` for the length of the phases")
	_ = flags.MarkHidden("pace") // the only error is a flag that does not exist
	cmd.AddCommand(newDemoAppCommand())
	return cmd
}

// runDemo turns signals into the end of the demo. They stay caught until all is
// cleaned up: an impatient second Ctrl-C must not leave files behind.
func runDemo(ctx context.Context, o demo.Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(ends)
	// A reader that is gone (| head) must not kill this process either: while SIGPIPE is
	// caught, writing fails instead.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGUSR1)
	defer signal.Stop(again)

	restart := notify.NewSignal()
	o.Restart = restart
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-ends:
				cancel()
			case <-again:
				restart.Notify()
			case <-ctx.Done():
				return
			}
		}
	}()
	err := demo.Run(ctx, o)
	cancel()
	<-watched
	return err
}

// newDemoAppCommand is one application of the demo. SIGUSR1 makes it stop
// listening, SIGUSR2 listen again.
func newDemoAppCommand() *cobra.Command {
	var o demo.AppOptions
	cmd := &cobra.Command{
		Use:    "app",
		Short:  "Run one application of the demo",
		Hidden: true,
		Args:   command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return command.Usagef("%w", err)
			}
			signals := make(chan os.Signal, 1)
			signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
			defer signal.Stop(signals)
			return demo.RunApp(cmd.Context(), o, signals)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Name, "name", "", "`name` of the application, shown in its answers")
	flags.StringVar(&o.Zone, "zone", "", "`zone`, shown as the version")
	flags.StringVar(&o.Listen, "listen", "", "`IP:PORT` to listen on; calls come from that IP as well")
	flags.StringVar(&o.UpstreamURL, "upstream-url", "", "`URL` to call for each request")
	flags.StringVar(&o.Routes, "routes", "", "`file` with the addresses of the URL's host (default: the host is an address)")
	flags.StringVar(&o.Executions, "executions", "", "`file` that gets one line per request begun")
	flags.IntVar(&o.Status, "status", 0, "answer each request with this `code`, 400 to 599; 0: none")
	return cmd
}
