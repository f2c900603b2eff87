package main

import (
	"errors"
	"testing"

	"github.com/eastway/eastway/internal/command"
)

// A full disk loses lines of the access log, never connections.
func TestAccessLogOnFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "aa")
	vip, app := newAddress(), newAddress()
	startApp(t, "app", app)
	s.write(t, "shop.yaml", serviceManifest("shop", vip, endpoint{app, "aa-1"}))
	p := s.start(t, "--access-log", "/dev/full")
	const calls = 5
	for range calls {
		mustCall(t, vip, "app")
	}
	eventually(t, "every lost line is counted", func() error {
		if p.metric(t, "eastway_access_log_lost_lines_total") == calls {
			return nil
		}
		return errors.New(p.stderr.String())
	})
	told := p.stderr.lines(t, map[string]any{"msg": "access log cannot be written, its lines are lost; connections go on"})
	if len(told) != 1 {
		t.Errorf("logged %d times, want once: %v", len(told), told)
	}
	if code := p.stop(t); code != command.OK {
		t.Errorf("exit code %d", code)
	}
}
