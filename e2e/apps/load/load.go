// Package load makes load inside a cluster and records what becomes of each
// request: calls at a steady pace, whether or not earlier ones were answered
// (as long as no more than 100 are pending), each on a new connection, and streams that are always open. It gets its orders
// over HTTP, and its records can be read live.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/internal/journal"
	"github.com/eastway/eastway/internal/openloop"
	"github.com/eastway/eastway/internal/pace"
)

// Config is one load.
type Config struct {
	// Name begins the IDs of all requests; it distinguishes loads and their places.
	Name    string    `json:"name"`
	Calls   []Calls   `json:"calls,omitempty"`
	Streams []Streams `json:"streams,omitempty"`
}

// Calls to one URL, alternately GET and POST.
type Calls struct {
	URL string `json:"url"`
	// Method is GET or POST; empty: both, alternately.
	Method string `json:"method,omitempty"`
	// Rate is how many begin per second, while fewer than maxPending are without an answer.
	Rate float64 `json:"rate"`
}

// Streams to one HOST:PORT (see chain.Stream).
type Streams struct {
	Address string `json:"address"`
	// Count of them are open at any time.
	Count int `json:"count"`
	// Seconds that each lasts; then the next one is opened.
	Seconds float64 `json:"seconds"`
}

// Bounds of a load: what is beyond is a mistake.
const (
	maxRate    = 10_000
	maxStreams = 10_000
)

// maxPending is how many calls to one URL may be without an answer: a faster load would no longer measure the services but
// the computer that all of them share.
const maxPending = 100

const (
	// numberTime is how often a stream writes a number.
	numberTime = 500 * time.Millisecond
	// pauseTime between streams when one could not be kept.
	pauseTime = time.Second
	// openTime is over which the first streams are opened, evenly.
	openTime = 3 * time.Second
)

// Validate names the field that is wrong.
func (c Config) Validate() error {
	if c.Name == "" {
		return errors.New("load: Config.Name must be set")
	}
	for _, one := range c.Calls {
		if u, err := url.Parse(one.URL); err != nil || u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("load: Calls.URL is %q, must be http://HOST:PORT/", one.URL)
		}
		if !slices.Contains([]string{"", http.MethodGet, http.MethodPost}, one.Method) {
			return fmt.Errorf("load: Calls.Method is %q, must be GET, POST or empty", one.Method)
		}
		if one.Rate <= 0 || one.Rate > maxRate {
			return fmt.Errorf("load: Calls.Rate is %v, must be above 0 and %d at most", one.Rate, maxRate)
		}
	}
	for _, one := range c.Streams {
		if _, _, err := net.SplitHostPort(one.Address); err != nil {
			return fmt.Errorf("load: Streams.Address is %q, must be HOST:PORT: %w", one.Address, err)
		}
		if one.Count < 0 || one.Count > maxStreams {
			return fmt.Errorf("load: Streams.Count is %d, must be 0 to %d", one.Count, maxStreams)
		}
		if one.Seconds <= 0 {
			return fmt.Errorf("load: Streams.Seconds is %v, must be above 0", one.Seconds)
		}
	}
	return nil
}

// Kinds of records.
const (
	KindCall   = "call"
	KindStream = "stream"
)

// Record is what became of one call or stream.
type Record struct {
	Kind   string    `json:"kind"`
	ID     string    `json:"id"`
	Target string    `json:"target"`
	Method string    `json:"method,omitempty"` // of a call
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	// Answer is what came back; of a stream, its greeting, also if it failed later.
	Answer string `json:"answer,omitempty"`
	// Error is why it failed; empty: it did not.
	Error string `json:"error,omitempty"`
}

// Run makes load until ctx ends, and returns when each request has ended.
func Run(ctx context.Context, c Config, hosts string, records *journal.Journal[Record]) error {
	if err := c.Validate(); err != nil {
		return err
	}
	r := &runner{Config: c, records: records}
	r.dialer.Hosts, r.client.Dialer.Hosts = hosts, hosts
	var running sync.WaitGroup
	for i, one := range c.Calls {
		running.Go(func() { r.call(ctx, i, one) })
	}
	for i, one := range c.Streams {
		for n := range one.Count {
			lead := openTime * time.Duration(n) / time.Duration(one.Count)
			running.Go(func() { r.stream(ctx, fmt.Sprintf("%s-s%d-%d", c.Name, i, n), one, lead) })
		}
	}
	running.Wait()
	return nil
}

type runner struct {
	Config
	records *journal.Journal[Record]
	client  chain.Client
	dialer  chain.Dialer
}

// call is one open loop.
func (r *runner) call(ctx context.Context, number int, c Calls) {
	openloop.Run(ctx, openloop.Load{Rate: c.Rate, MaxPending: maxPending}, func(ctx context.Context, n int) {
		record := Record{Kind: KindCall, ID: fmt.Sprintf("%s-c%d-%d", r.Name, number, n), Target: c.URL, Start: time.Now()}
		record.Method = cmp.Or(c.Method, openloop.Method(n))
		answer, err := r.client.Do(ctx, record.Method, c.URL, record.ID)
		r.end(record, answer, err)
	})
}

// stream keeps one stream open, after a while.
func (r *runner) stream(ctx context.Context, id string, s Streams, lead time.Duration) {
	pace.Sleep(ctx, lead)
	for n := 0; ctx.Err() == nil; n++ {
		record := Record{Kind: KindStream, ID: fmt.Sprintf("%s-%d", id, n), Target: s.Address, Start: time.Now()}
		one, cancel := context.WithTimeout(ctx, time.Duration(s.Seconds*float64(time.Second)))
		greeting, err := chain.Stream(one, &r.dialer, s.Address, numberTime)
		cancel()
		r.end(record, greeting, err)
		if err != nil {
			pace.Sleep(ctx, pauseTime)
		}
	}
}

func (r *runner) end(record Record, answer string, err error) {
	record.End, record.Answer = time.Now(), answer
	if err != nil {
		record.Error = err.Error()
	}
	r.records.Add(record)
}
