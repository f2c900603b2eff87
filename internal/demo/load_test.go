package demo

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eastway/eastway/internal/openloop"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ids := make(map[string]string)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ids[r.Header.Get(openloop.RequestID)] = r.Method
		mu.Unlock()
		<-release
		_, _ = w.Write([]byte("-> mocka(version: h, ip: 127.0.0.1)"))
	}))
	defer slow.Close()
	rec := &recorder{}
	home := newTopology(80).zones()[0]
	find := func(string) (string, error) { return slow.Listener.Addr().String(), nil }
	l := load{rec: rec, entries: []entry{{zone: home, rate: 200, find: find}}, gone: func(string) bool { return false }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { l.run(ctx); close(ended) }()
	// Nothing is answered, and still requests are sent.
	waitUntil(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(ids) >= 10
	})
	cancel()
	close(release)
	<-ended
	records := rec.ended.All()
	methods := make(map[string]int)
	for _, r := range records {
		methods[r.method]++
		if ids[r.id] != r.method {
			t.Errorf("%s %s arrived as %q", r.method, r.id, ids[r.id])
		}
		if !strings.Contains(r.failure, "not the answer of the whole chain") {
			t.Errorf("an answer without mockb and mockc passed: %q", r.failure)
		}
	}
	if len(records) != len(ids) || methods["GET"]-methods["POST"] > 1 || methods["POST"] > methods["GET"] {
		t.Errorf("%d records, %d requests, %v", len(records), len(ids), methods)
	}
}

// Callers die with their cluster: they send nothing until it is back.
func TestCallersThatAreGoneSendNothing(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }))
	defer up.Close()
	var skipped atomic.Int32
	rec := &recorder{}
	l := load{rec: rec, entries: []entry{{
		zone: newTopology(80).zones()[0], rate: 200,
		find: func(string) (string, error) { return up.Listener.Addr().String(), nil },
	}}, gone: func(zone string) bool {
		skipped.Add(1)
		return zone == "cn-hangzhou-h"
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { l.run(ctx); close(ended) }()
	waitUntil(t, func() bool { return skipped.Load() >= 5 })
	cancel()
	<-ended
	if n := len(rec.ended.All()); n != 0 {
		t.Errorf("%d records of requests that were not sent", n)
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	got := entries(newTopology(80), 20, func(z zone, service string) (string, error) { return z.name + " " + service, nil })
	want := map[string]float64{"cn-hangzhou-h": 20, "cn-hangzhou-k": 20, "ap-northeast-1a": 10, "ap-northeast-1b": 10}
	for _, e := range got {
		if to, err := e.find(roleMocka); e.rate != want[e.zone.name] || to != e.zone.name+" "+roleMocka || err != nil {
			t.Errorf("%s: %v a second to %s (%v)", e.zone.name, e.rate, to, err)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries", len(got))
	}
}
