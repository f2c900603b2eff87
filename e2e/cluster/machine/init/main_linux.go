package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// memoryLimit in bytes makes the collector keep this process, one per machine, small.
const memoryLimit = 8 << 20

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "init: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 || os.Getpid() != 1 {
		return errors.New("this is started by package machine, as the first process of a PID namespace")
	}
	dir, hostname, programs := args[0], args[1], args[2]
	debug.SetMemoryLimit(memoryLimit)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	// What ends other processes must not end a machine; SIGKILL from outside does.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)

	// Before the mounts: outside of them is where the others look for it.
	listener, err := listen(ctx, filepath.Join(dir, machine.ControlSocket))
	if err != nil {
		return err
	}
	if err := furnish(dir, hostname, programs); err != nil {
		return err
	}
	daemons := newDaemons()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return daemons.bury(ctx, ended) })
	group.Go(func() error { return serve(ctx, listener, daemons) })
	return group.Wait()
}
