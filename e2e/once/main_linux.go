package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// appVariable makes the program one application; its value is LISTEN FILE.
const appVariable = "EASTWAY_ONCE_APP"

func main() {
	if app := os.Getenv(appVariable); app != "" {
		exit(runApp(context.Background(), app, os.Stdin))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "once: %v\n", err)
		os.Exit(1)
	}
}

// run is the whole command. An error names the directory with the logs.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	made := o.dir == ""
	if o.dir, err = directory(o.dir); err != nil {
		return err
	}
	result, err := measure(ctx, &o, stdout)
	if err != nil {
		return fmt.Errorf("%w\nlogs and configuration are in %s", err, o.dir)
	}
	result.print(stdout)
	if o.json != "" {
		data, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(data, '\n'), 0o600); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if n := len(result.Violations); n > 0 {
		return fmt.Errorf("%d violations; logs and configuration are in %s", n, o.dir)
	}
	if made {
		return os.RemoveAll(o.dir)
	}
	return nil
}

func directory(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "eastway-once-")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("-dir: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("-dir: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty: name a new or an empty directory", dir)
	}
	return dir, err
}

// measure starts the world, sends all requests while faults happen, and judges what became of them.
func measure(ctx context.Context, o *options, out io.Writer) (*result, error) {
	w, err := newWorld(ctx, o, out)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.up(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "%d proxies and %d applications are up; sending %d POSTs and %d GETs through %d faults\n",
		clusters*perCluster, clusters*perCluster, o.posts, o.gets, o.faults)
	l := newLoad(o, w)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.run(ctx)
	}()
	done, err := w.breakThings(ctx, l, ended)
	if err != nil {
		stop(err)
		<-ended
		return nil, err
	}
	<-ended
	if ctx.Err() != nil {
		return nil, fmt.Errorf("after %d requests: %w", l.sent.Load(), context.Cause(ctx))
	}
	executed, err := w.executions(o.posts + o.gets)
	if err != nil {
		return nil, err
	}
	r := l.judge(executed)
	r.Faults = done
	return r, nil
}
