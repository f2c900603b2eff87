package demo

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ids := make(map[string]string)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ids[r.Header.Get(requestIDHeader)] = r.Method
		mu.Unlock()
		<-release
		_, _ = w.Write([]byte("-> mocka(version: h, ip: 127.0.0.1)"))
	}))
	defer slow.Close()
	rec := &recorder{}
	l := load{rec: rec, entries: []entry{{zone: "h", url: slow.URL, rate: 200}}}
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

func TestEntries(t *testing.T) {
	t.Parallel()
	got := entries(newTopology(80), 20)
	want := []entry{
		{"cn-hangzhou-h", "http://127.80.1.11:8000/", 20},
		{"cn-hangzhou-k", "http://127.80.2.11:8000/", 20},
		{"ap-northeast-1a", "http://127.81.1.11:8000/", 10},
		{"ap-northeast-1b", "http://127.81.2.11:8000/", 10},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}
