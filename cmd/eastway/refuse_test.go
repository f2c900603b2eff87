package main

import (
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli/kubetest"
)

// wantRefused runs a command with wrong arguments: each is a mistake in the command line and is reported as one.
func wantRefused(t *testing.T, line string, words map[string]string) {
	t.Helper()
	for args, want := range words {
		got := runCommand(t, append([]string{line}, strings.Fields(args)...)...)
		if got.code != command.Usage || !strings.Contains(got.stderr, want) {
			t.Errorf("eastway %s %s = %+v, want %q", line, args, got, want)
		}
	}
}

// deadKubeconfig is the file of a cluster whose API server is not there.
func deadKubeconfig(t *testing.T) string {
	t.Helper()
	return kubetest.Kubeconfig(t, map[string]*kubetest.Server{"a": {URL: "http://127.0.0.1:1"}})
}
