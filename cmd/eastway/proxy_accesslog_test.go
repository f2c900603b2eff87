package main

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
)

// One line per connection, on each side of a tunnel, says who called what, who answered, over what, after which attempts.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	vipA, vipB, appB := newAddress(), newAddress(), newAddress()
	deadA := newAddress() // listens on nothing
	startApp(t, "app-b", appB)
	a.write(t, "shop.yaml", serviceManifest("shop", vipA, endpoint{deadA, "aa-1"}))
	b.write(t, "shop.yaml", serviceManifest("shop", vipB, endpoint{appB, "bb-1"}))
	a.trust(t, b, b.tunnel())
	b.trust(t, a)
	pa, pb := a.start(t), b.start(t)
	pa.serves(t, "shop", "bb")
	at := net.JoinHostPort(appB, servicePort)
	accepted := map[string]any{"target": at, "cluster": "bb", "result": "accepted"}

	mustCall(t, vipB, "app-b")
	checkLine(t, pb.stdout, map[string]any{
		"direction": "outbound", "service": "default/shop", "port": 8000., "caller": "127.0.0.1:", "caller_cluster": "bb",
		"caller_locality": "region-bb/bb-1", "endpoint": at, "cluster": "bb", "locality": "region-bb/bb-1", "lane": "",
		"bytes_in": 6., "bytes_out": 12., "result": "ok", "ended": "client closed",
	}, accepted)

	mustCall(t, vipA, "app-b") // over the tunnel
	checkLine(t, pa.stdout, map[string]any{
		"direction": "outbound", "service": "default/shop", "port": 8000., "caller": "127.0.0.1:", "caller_cluster": "aa",
		"caller_locality": "region-aa/aa-1", "endpoint": at, "cluster": "bb", "locality": "region-bb/bb-1",
		"lane": pb.status(t).Replica + "/", "bytes_in": 6., "bytes_out": 12., "result": "ok", "ended": "client closed",
	}, map[string]any{
		"target": net.JoinHostPort(deadA, servicePort), "cluster": "aa", "result": "refused", "reason": "connection refused",
	}, map[string]any{"target": "bb", "cluster": "bb", "result": "accepted"})
	checkLine(t, pb.stdout, map[string]any{
		"direction": "inbound", "service": "default/shop", "port": 8000., "caller": "127.0.0.1:", "caller_cluster": "aa",
		"caller_locality": "region-aa/aa-1", "endpoint": at, "cluster": "bb", "locality": "region-bb/bb-1",
		"lane": pa.status(t).Replica + "/", "bytes_in": 6., "bytes_out": 12., "result": "ok", "ended": "peer closed",
	}, accepted)
}

// checkLine waits for the only line with that direction and compares it: strings by how they begin, "" exactly.
func checkLine(t *testing.T, log *record, want map[string]any, attempts ...map[string]any) {
	t.Helper()
	var lines []map[string]any
	eventually(t, "the line is written", func() error {
		if lines = log.lines(t, map[string]any{"direction": want["direction"]}); len(lines) != 1 {
			return fmt.Errorf("%d lines: %s", len(lines), log)
		}
		return nil
	})
	line := lines[0]
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !matches(line[name], want[name]) {
			t.Errorf("%s is %v, want %v", name, line[name], want[name])
		}
	}
	for _, name := range []string{"duration", "time_to_accept"} {
		if seconds, ok := line[name].(float64); !ok || seconds <= 0 {
			t.Errorf("%s is %v, want more than 0 seconds", name, line[name])
		}
	}
	got, _ := line["attempts"].([]any)
	if len(got) != len(attempts) {
		t.Fatalf("attempts %v, want %v", got, attempts)
	}
	for i, a := range attempts {
		attempt, _ := got[i].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(a)) {
			if s := fmt.Sprint(attempt[name]); !strings.Contains(s, fmt.Sprint(a[name])) {
				t.Errorf("attempt %d: %s is %v, want %v", i, name, s, a[name])
			}
		}
		if took, ok := attempt["took"].(float64); !ok || took <= 0 {
			t.Errorf("attempt %d took %v, want more than 0 seconds", i, attempt["took"])
		}
	}
	if t.Failed() {
		t.Logf("the line: %v", line)
	}
}

func matches(got, want any) bool {
	w, isString := want.(string)
	if !isString || w == "" {
		return got == want
	}
	g, ok := got.(string)
	return ok && strings.HasPrefix(g, w)
}
