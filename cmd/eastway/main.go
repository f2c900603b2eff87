// Command eastway joins clusters that cannot reach each other's pod networks:
// its proxies hold mutually authenticated tunnels to their peers and send
// every call to the nearest healthy endpoint. `eastway help` lists commands.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/internal/terminal"
)

// errorBytes is how much of an error is printed: some hundred lines, more than a screen.
const errorBytes = 16 << 10

func main() {
	// client-go logs by a global, which is set before anything runs.
	klog.SetLogger(zapr.NewLogger(eventlog.New(os.Stderr, zapcore.WarnLevel).Named("kube")))
	// So does net/http's client, of what an endpoint sends that nothing has requested.
	if _, err := zap.RedirectStdLogAt(eventlog.New(os.Stderr, zapcore.WarnLevel).Named("net/http"), zapcore.WarnLevel); err != nil {
		fmt.Fprintln(os.Stderr, "eastway: redirect the standard log:", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks to end in order, a second one ends at once.
	context.AfterFunc(ctx, stop)
	code := runAs(ctx, filepath.Base(os.Args[0]), os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the process's exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runAs(ctx, "eastway", args, stdout, stderr)
}

// runAs is run of a binary that is called name.
func runAs(ctx context.Context, name string, args []string, stdout, stderr io.Writer) int {
	out := terminal.NewOutput(stdout)
	root := newRoot(out, stderr) //nolint:contextcheck // commands get theirs from cobra: cmd.Context()
	callAs(root, name)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && out.Err() != nil {
		err = command.Started(out.Err())
	}
	if err == nil {
		return command.OK
	}
	code := command.ExitCode(err)
	path := strings.TrimPrefix(cmd.CommandPath(), "kubectl ")
	fmt.Fprintf(stderr, "%s: %s\n", strings.ReplaceAll(path, " ", ": "), terminal.Lines(err.Error(), errorBytes))
	if code == command.Usage {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}
