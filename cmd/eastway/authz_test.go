package main

import (
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/command"
)

func TestAuthzExplain(t *testing.T) {
	t.Parallel()
	address := startAdmin(t)
	got := runCommand(t, "authz", "explain", "--admin", address, "--from", "west", "--to", "mockb")
	if got.code != command.OK || got.stderr != "" || !strings.Contains(got.stdout, "default/mockb: allowed to peer west by rule exported") {
		t.Errorf("%+v", got)
	}
	got = runCommand(t, "authz", "explain", "--admin", address, "--from", "wets", "--to", "mockb")
	if got.code != command.NotFound ||
		!strings.Contains(got.stderr, "the proxy has no Peer wets") || !strings.Contains(got.stdout, "by rule no-peer") {
		t.Errorf("a Peer that is not there: %+v", got)
	}
}
