package http

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
)

func TestCallBetweenProxies(t *testing.T) {
	t.Parallel()
	for _, c := range []call{
		{},
		{address: "10.0.0.1:4711", locality: discovery.Locality{Region: "eu", Zone: "eu-1"}},
		{address: "[fd00::1]:4711", locality: discovery.Locality{Region: "a;b", Zone: "c,d%20"}, tried: []string{"10.0.0.2:80", "[fd00::2]:80"}},
		{address: "10.0.0.1:4711", affinity: 1<<64 - 1},
	} {
		h := http.Header{}
		h.Set(callHeader, c.String())
		if got := takeCall(h); !reflect.DeepEqual(got, c) || len(h) > 0 {
			t.Errorf("%+v became %+v, %v", c, got, h)
		}
	}
}

func TestReportBetweenProxies(t *testing.T) {
	t.Parallel()
	at := discovery.Locality{Region: "eu", Zone: "a;b"}
	for _, want := range []report{
		{endpoint: "10.0.0.2:80", locality: at, took: 3100 * time.Microsecond},
		{outcome: notExecuted},
		{outcome: unknown},
		{outcome: notExecuted, busy: true, hold: busyTime},
	} {
		h := http.Header{}
		h.Set(outcomeHeader, want.String())
		if got := takeReport(h); got != want || len(h) > 0 {
			t.Errorf("%+v became %+v, %v", want, got, h)
		}
	}
}

// A peer that has no place for this caller is not left alone by others.
func TestReportOfOneCaller(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	reportTo(&origin{peer: "a"}, h, nil, time.Now(), reasonShare)
	h.Set(reasonHeader, reasonShare)
	if got := takeReport(h); got.outcome != notExecuted || !got.busy || got.hold != 0 || got.full {
		t.Errorf("%+v", got)
	}
	reportTo(&origin{peer: "a"}, h, nil, time.Now(), reasonCapacity)
	h.Set(reasonHeader, reasonCapacity)
	if got := takeReport(h); got.outcome != notExecuted || !got.busy || got.hold != busyTime || !got.full {
		t.Errorf("%+v", got)
	}
}

// What a peer writes into these fields gets into the access log: it is short, and prints on one line.
func TestFieldsOfAHostilePeer(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"escape sequence": "%1B%5B2J", "in one character": "%C2%9B2J", "line": "%0A", "turned around": "%E2%80%AE", "no UTF-8": "%FF",
		"as it is": "a\u009b2J", "long": strings.Repeat("x", 1<<20), "long, escaped": strings.Repeat("%C3%BC", 1<<18),
	} {
		c := takeCall(http.Header{callHeader: {strings.Join([]string{text, text, text, text}, ";")}})
		r := takeReport(http.Header{outcomeHeader: {strings.Join([]string{"answered", text, text, text, "1"}, ";")}})
		for _, got := range append([]string{
			c.address, c.locality.Region, c.locality.Zone, r.endpoint, r.locality.Region, r.locality.Zone,
		}, c.tried...) {
			if got != access.Clip(got) {
				t.Errorf("%s: %.99q", name, got)
			}
		}
	}
}

// FuzzFieldsBetweenProxies: what a peer sends stays within bounds, and reads the same once it was read.
func FuzzFieldsBetweenProxies(f *testing.F) {
	for _, s := range []string{
		"", ";;;", "answered;10.0.0.1:80;eu;eu-1", "not-executed;;;", "busy;%zz;%3B;,", "10.0.0.1:1;eu;a;10.0.0.2:80,10.0.0.3:80;more",
		strings.Repeat("x", 4096), strings.Repeat(";", 4096), "a;b;c;" + strings.Repeat("10.0.0.1:80,", 512),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := takeCall(http.Header{callHeader: {s}})
		if len(c.tried) > maxSafeTries || len(c.address) > 253 || len(c.locality.Region) > 253 || len(c.locality.Zone) > 253 {
			t.Errorf("%.99q became %.99v", s, c)
		}
		r := takeReport(http.Header{outcomeHeader: {s}})
		if len(r.endpoint) > 253 || len(r.locality.Region) > 253 || len(r.locality.Zone) > 253 {
			t.Errorf("%.99q became %.99v", s, r)
		}
		if len(r.locality.Region) < 80 && len(r.locality.Zone) < 80 {
			if again := takeReport(http.Header{outcomeHeader: {r.String()}}); again != r {
				t.Errorf("%.99q: %+v became %+v", s, r, again)
			}
		}
	})
}
