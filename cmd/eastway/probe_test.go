package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/status"
)

func probeForTest(_ context.Context, q status.ProbeQuery) (*status.Probe, error) {
	p := &status.Probe{
		Port: 8000, Protocol: "HTTP", Listener: "10.0.0.1:8000", Total: 105 * time.Millisecond, Status: 200, Result: "ok",
		Endpoint: "10.1.0.2:8000", Cluster: "west", Region: "eu-west", Zone: "eu-west-1",
		Hops: []status.Hop{
			{Target: "10.0.0.2:8000", Cluster: "east", Result: "refused", Reason: "connection refused", Took: 210 * time.Microsecond},
			{Target: "west", Cluster: "west", Result: "answered", Took: 104 * time.Millisecond, AtPeer: 3100 * time.Microsecond},
		},
	}
	switch {
	case q.Name == "broken":
		p.Status = 503
	case q.Port == 9:
		return nil, &status.NoPortError{Service: "default/mockb", Port: 9, Ports: []uint16{80}}
	case q.Name != "mockb":
		return nil, nil
	}
	return p, nil
}

func TestProbeCommand(t *testing.T) {
	t.Parallel()
	address := startAdmin(t)
	got := runCommand(t, "probe", "--admin", address, "mockb")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("%+v", got)
	}
	golden(t, "probe.txt", []byte(got.stdout))
	got = runCommand(t, "probe", "--admin", address, "broken")
	if got.code != command.Failure || got.stderr != "eastway: probe: the call failed\n" || !strings.Contains(got.stdout, "status 503 after 105.0ms") {
		t.Errorf("%+v", got)
	}
	for args, want := range map[string]result{
		"nope":           {code: command.NotFound, stderr: "no such service: default/nope"},
		"mockb --port 9": {code: command.NotFound, stderr: "no such port: service default/mockb has no TCP port 9; it has [80]"},
		"mockb --port 0": {code: command.Usage, stderr: `invalid argument "0" for "--port" flag: ` +
			"write the port's number, 1 to 65535, not its name\n" +
			"Run 'eastway probe --help' for usage."},
		"mockb --timeout 2m":   {code: command.Usage, stderr: "--timeout must be above 0 and 1m0s at most\nRun 'eastway probe --help' for usage."},
		"mockb --request none": {code: command.NotFound, stderr: "read --request: open none: no such file or directory"},
	} {
		got := runCommand(t, append([]string{"probe", "--admin", address}, strings.Fields(args)...)...)
		want.stderr = "eastway: probe: " + want.stderr + "\n"
		if got != want {
			t.Errorf("probe %s = %+v, want %+v", args, got, want)
		}
	}
}
