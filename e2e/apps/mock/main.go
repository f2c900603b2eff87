// Command mock is what runs in the pods of the drills, or outside Kubernetes as processes, and how a test talks to
// them from a node:
//
//	mock serve    the application of package chain
//	mock fail     the same, but answers 503 to each request: a broken application
//	mock nothing  listens on nothing until SIGTERM: a broken application
//	mock load     makes load on request (package load)
//	mock ask [-X METHOD] [-d BODY] URL  prints the answer as it comes
//
// A process has no network of its own: the variable listen is the IP at which it listens, hosts a file with the addresses that
// it calls (see chain.Dialer), lame how long it goes on after SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/e2e/apps/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mock:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("say what to do: serve, fail, nothing, load or ask URL")
	}
	var at netip.Addr
	if ip := os.Getenv("listen"); ip != "" {
		var err error
		if at, err = netip.ParseAddr(ip); err != nil {
			return fmt.Errorf("the variable listen: %w", err)
		}
	}
	switch args[0] {
	case "serve":
		return serve(ctx, 0, at)
	case "fail":
		return serve(ctx, http.StatusServiceUnavailable, at)
	case "nothing":
		<-ctx.Done()
		return nil
	case "load":
		return (&load.Server{Hosts: os.Getenv("hosts")}).Run(ctx, at)
	case "ask":
		return ask(ctx, args[1:], out)
	default:
		return fmt.Errorf("there is no %q: serve, fail, nothing, load or ask URL", args[0])
	}
}

// serve runs the application; a status that is not 0 answers each request.
func serve(ctx context.Context, status int, at netip.Addr) error {
	c := chain.FromEnvironment(os.Getenv)
	c.Status = status
	if lame := os.Getenv("lame"); lame != "" {
		var err error
		if c.Lame, err = time.ParseDuration(lame); err != nil {
			return fmt.Errorf("the variable lame: %w", err)
		}
	}
	return chain.Run(ctx, c, at)
}

// ask prints an answer, for as long as it goes on.
func ask(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ask", flag.ContinueOnError)
	method := flags.String("X", http.MethodGet, "`method` of the request")
	body := flags.String("d", "", "`body` of the request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, *method, flags.Arg(0), strings.NewReader(*body))
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	dialer := chain.Dialer{Hosts: os.Getenv("hosts")}
	client := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("ask: read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask: %s answered %s", flags.Arg(0), response.Status)
	}
	return nil
}
