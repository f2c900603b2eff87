package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/command"
)

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args, stderr string
	}{
		{"statsu", "eastway: unknown command \"statsu\"; did you mean status?\nRun 'eastway --help' for usage.\n"},
		{"statsu --admin x", "eastway: unknown command \"statsu\"; did you mean status?\nRun 'eastway --help' for usage.\n"},
		{"peer lst -o json", "eastway: peer: unknown command \"lst\"; did you mean list?\nRun 'eastway peer --help' for usage.\n"},
		{"--admin x", "eastway: unknown flag: --admin\nRun 'eastway --help' for usage.\n"},
		{"qqqqq", "eastway: unknown command \"qqqqq\"\n"},
		{"--qqqqq", "eastway: unknown flag: --qqqqq\n"},
		{"status --qqqqq", "eastway: status: unknown flag: --qqqqq\nRun 'eastway status --help' for usage.\n"},
		{"status a/b/c", "\"a/b/c\" is not a service"},
		{"status -o yaml", "must be table or json\n"},
		{"status --admin nowhere", "eastway: status: --admin: admin address \"nowhere\" is not HOST:PORT: the port is missing\n"},
		{"version qqqqq", "eastway: version: unexpected argument \"qqqqq\"\n"},
		{"endpoints", "eastway: endpoints: missing argument SERVICE\n"},
		{"endpoints a b", "eastway: endpoints: unexpected argument \"b\"\n"},
		{"endpoints a/b/c", "\"a/b/c\" is not a service: write NAME or NAMESPACE/NAME\n"},
		{"endpoints /b", "\"/b\" is not a service"},
		{"endpoints a/", "\"a/\" is not a service"},
		{"endpoints a/b -n c", "\"a/b\" and --namespace c contradict each other\n"},
		{"endpoints a.b.c", "\"a.b.c\" is not a service"},
		{"endpoints a:x", "port \"x\" is not a number from 1 to 65535\n"},
		{"probe a:80 --port 81", "\"a:80\" and --port 81 contradict each other\n"},
		{"export a:80", "\"a:80\" has a port: this is about the whole Service, leave :80 out\n"},
		{"export a --wait -1s", "eastway: export: --wait -1s must not be negative\n"},
		{"takeover a --wait -1s", "--wait -1s must not be negative\n"},
		{"check --config=", "--config is empty: give it a value, or leave it out\n"},
		{"peer remove b --config=", "--config is empty"},
		{"status --context=", "--context is empty"},
		{"peer list --config /nowhere", "--config: open /nowhere: no such file or directory: create the directory, or name another\n"},
		{"check --config /nowhere", "--config: open /nowhere"},
		{"status --admin 127.0.0.1:99999", "port \"99999\" is not a number from 0 to 65535\n"},
		{"status --admin ::1:15000", "an IPv6 address is written in brackets, such as [2001:db8::1]:15443\n"},
		{"status --admin https://127.0.0.1:15000", "leave out https:// and what follows the port\n"},
		{"completion qqqqq", "eastway: completion: unknown command \"qqqqq\"\n"},
		{"help qqqqq", "eastway: help: unknown command \"qqqqq\"\n"},
		{"help completion qqqqq", "eastway: help: unknown command \"qqqqq\"\n"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			got := runCommand(t, strings.Fields(tt.args)...)
			if got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("eastway %s = %+v, want code 2, only stderr with %q", tt.args, got, tt.stderr)
			}
			if strings.Count(got.stderr, "\n") != 2 || !strings.Contains(got.stderr, "--help' for usage.\n") {
				t.Errorf("want one line of error and one of help, got %q", got.stderr)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "help", "--help", "help status", "status -h", "completion", "completion bash"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			got := runCommand(t, strings.Fields(args)...)
			if got.code != 0 || got.stdout == "" || got.stderr != "" {
				t.Errorf("eastway %s = %+v, want code 0 and only stdout", args, got)
			}
		})
	}
	if got := runCommand(t, "--help"); !strings.Contains(got.stdout, command.ExitHelp) {
		t.Errorf("help does not list the exit codes:\n%s", got.stdout)
	}
}

// Every command of the tree says what it does and takes no argument unasked.
func TestCommands(t *testing.T) {
	t.Parallel()
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no Short", cmd.CommandPath())
		}
		if cmd.Args == nil {
			t.Errorf("%s accepts any arguments", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(io.Discard, io.Discard))
}

// An error with what another side, or a file, has chosen does not move the cursor of a terminal.
func TestErrorsAreSafeForTerminals(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	args := []string{"peer", "import", "/none/\x1b[2J\u009b\n" + strings.Repeat("x", 1<<20)}
	if code := run(t.Context(), args, &stdout, &stderr); code == command.OK {
		t.Error("the file was read")
	}
	if got := stderr.String(); !strings.Contains(got, "/none/?[2J?\n") || len(got) > 2*errorBytes || stdout.String() != "" {
		t.Errorf("printed %q, %.200q", stdout.String(), got)
	}
}
