package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/e2e/wan/link"
	"github.com/eastway/eastway/e2e/wan/netns"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "wan: %v\n", err)
		os.Exit(1)
	}
}

// errQuit ends the command at the user's word.
var errQuit = errors.New("quit")

// run joins two namespaces until ctx is done or the input says quit.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	config, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	if err := link.Supported(); err != nil {
		return err
	}
	if err := link.BePunctual(); err != nil {
		fmt.Fprintf(stderr, "wan: warning: times will be less exact on a busy machine: %v\n", err)
	}
	swept, err := netns.Sweep()
	if err != nil {
		return err
	}
	for _, name := range swept {
		fmt.Fprintf(stdout, "removed %s, left behind by a process that is gone\n", name)
	}
	created, err := createMissing(&config)
	defer func() {
		for _, ns := range created {
			err = errors.Join(err, ns.Close())
		}
	}()
	if err != nil {
		return err
	}
	l, err := link.Open(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	fmt.Fprintf(stdout, "a %s %v\nb %s %v\nready\n",
		config.A.Namespace, prefixes{&config.A.Addresses}, config.B.Namespace, prefixes{&config.B.Addresses})
	return errors.Join(carry(ctx, l, stdin, stdout), show(l, stdout))
}

// createMissing makes namespaces for the ends that have none.
func createMissing(c *link.Config) (created []*netns.Namespace, err error) {
	for _, end := range []struct {
		label string
		*link.End
	}{{"a", &c.A}, {"b", &c.B}} {
		if end.Namespace != "" {
			continue
		}
		ns, err := netns.Create(end.label)
		if err != nil {
			return created, err
		}
		created = append(created, ns)
		end.Namespace = ns.Name()
	}
	return created, nil
}

// carry runs the link and obeys the input.
func carry(ctx context.Context, l *link.Link, stdin io.Reader, stdout io.Writer) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.Run(ctx) })
	group.Go(func() error {
		in := bufio.NewScanner(stdin)
		in.Buffer(nil, maxLine)
		lines := scan(ctx, in)
		for {
			select {
			case <-ctx.Done():
				return nil
			case line, more := <-lines:
				if more && obey(l, line, stdout) {
					return errQuit
				}
				if !more { // go on without input
					lines = nil
					if err := in.Err(); err != nil {
						fmt.Fprintf(stdout, "error: read commands: %v; no more are read\n", err)
					}
				}
			}
		}
	})
	if err := group.Wait(); !errors.Is(err, errQuit) {
		return err
	}
	return nil
}

// scan reads lines until the input ends or ctx is done. In the latter case its
// goroutine ends with the next line or with the process: a read from a terminal
// cannot be called off.
func scan(ctx context.Context, in *bufio.Scanner) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in.Scan() {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}
