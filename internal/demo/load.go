package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/openloop"
)

// entry is a zone whose callers send a share of the load.
type entry struct {
	zone zone
	rate float64 // requests per second
	find finder
}

// load sends requests at a steady pace, whether or not earlier ones were answered.
type load struct {
	entries []entry
	rec     *recorder
	// gone reports whether the callers of a zone have died with their cluster.
	gone func(zone string) bool
}

// run sends until ctx ends, and returns when every request has ended.
func (l *load) run(ctx context.Context) {
	var sending sync.WaitGroup
	for i, e := range l.entries {
		// Spread over the interval, so that the entries do not beat in step.
		lead := time.Duration(float64(i) / float64(len(l.entries)) / e.rate * float64(time.Second))
		sending.Go(func() {
			client := newClient(&net.TCPAddr{IP: e.zone.addr(hostCaller).AsSlice()}, e.find)
			openloop.Run(ctx, openloop.Load{Rate: e.rate, Lead: lead}, func(ctx context.Context, n int) {
				if !l.gone(e.zone.name) {
					l.send(ctx, client, e.zone.name, openloop.Method(n), fmt.Sprintf("%s-%06d", e.zone.name, n))
				}
			})
		})
	}
	sending.Wait()
}

func (l *load) send(ctx context.Context, client *http.Client, zone, method, id string) {
	rec := l.rec.begin(zone, id, method)
	answer, err := call(ctx, client, method, serviceURL(roleMocka), id, "order "+id)
	var whole bool
	if err == nil {
		rec.hops, whole = parseChain(answer)
	}
	switch {
	case err != nil:
		rec.failure = err.Error()
	case !whole:
		rec.failure = fmt.Sprintf("not the answer of the whole chain: %.200q", answer)
	}
	l.rec.end(rec)
}

// serviceURL is how callers name a service, wherever their calls go.
func serviceURL(role string) string { return "http://" + role + "/" }
