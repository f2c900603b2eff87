package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/eastway/eastway/e2e/verdict"
)

const (
	// workers send one request at a time each. Those of HTTP/1.1 have a connection each, those of HTTP/2 share some.
	workers = 48
	// sharing is how many callers of HTTP/2 share a connection.
	sharing = 4
	// callTime bounds a call: longer than a peer that falls silent takes to be declared dead, and than any stop lasts.
	callTime = time.Minute
	// Bodies of POSTs, in bytes. One of longIn is longer than the copy that a proxy keeps.
	mostBody = 3000
	longBody = 100_000
	longIn   = 200
)

// call is a request that was not answered 200.
type call struct {
	id           int
	verdict.Call // its entry is a proxy of home
}

// load is the requests: the first are POSTs and GETs in turn, until there are no more of one.
type load struct {
	o    *options
	w    *world
	sent atomic.Int64

	mu      sync.Mutex
	ok      []bool // by request
	failed  []call
	started time.Time
	took    time.Duration
}

func newLoad(o *options, w *world) *load { return &load{o: o, w: w, ok: make([]bool, o.posts+o.gets)} }

// isPost is true for half of the requests while there are both kinds.
func (l *load) isPost(id int) bool {
	pairs := min(l.o.posts, l.o.gets)
	if id < 2*pairs {
		return id%2 == 0
	}
	return l.o.posts > pairs
}

// run returns when each request has ended, or ctx.
func (l *load) run(ctx context.Context) {
	l.started = time.Now()
	limit := rate.NewLimiter(rate.Limit(l.o.rate), workers)
	var sending sync.WaitGroup
	var shared *http.Client
	for n := range workers {
		c := &caller{load: l, entry: n % perCluster, service: near, port: portHTTP1, draw: rand.New(rand.NewPCG(l.o.seed, uint64(n)))}
		if n%3 > 0 {
			c.service = far
		}
		if n >= workers/2 {
			c.port = portHTTP2
			if n%sharing == 0 {
				shared = newClient(true)
			}
			c.client = shared
		} else {
			c.client = newClient(false)
		}
		sending.Go(func() {
			defer c.client.CloseIdleConnections()
			for limit.Wait(ctx) == nil {
				id := int(l.sent.Add(1)) - 1
				if id >= len(l.ok) {
					return
				}
				c.send(ctx, id)
			}
		})
	}
	sending.Wait()
	l.took = time.Since(l.started)
}

// progress is the part of the requests that was begun.
func (l *load) progress() float64 { return float64(l.sent.Load()) / float64(len(l.ok)) }

// caller sends its requests through one proxy.
type caller struct {
	load    *load
	entry   int
	service string
	port    uint16
	client  *http.Client
	draw    *rand.Rand
}

func newClient(http2 bool) *http.Client {
	t := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, MaxIdleConnsPerHost: workers}
	t.Protocols.SetHTTP1(!http2)
	t.Protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: t, Timeout: callTime}
}

func (c *caller) send(ctx context.Context, id int) {
	c.load.w.awaitEntry(ctx, c.entry)
	record := call{id: id, Call: verdict.Call{Post: c.load.isPost(id), Entry: c.entry, Start: time.Now()}}
	err := c.exchange(ctx, &record)
	record.End = time.Now()
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	if err == nil && record.Status == http.StatusOK {
		c.load.ok[id] = true
		return
	}
	if err != nil {
		record.Err = err.Error()
	}
	c.load.failed = append(c.load.failed, record)
}

func (c *caller) exchange(ctx context.Context, record *call) error {
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if record.Post {
		method, body = http.MethodPost, c.body()
	}
	target := "http://" + entry(home, c.entry, c.service, c.port).String() + "/" + strconv.Itoa(record.id)
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	request.GetBody = nil // the client itself must not send a body twice
	request.Header.Set(idHeader, strconv.Itoa(record.id))
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	record.Status, record.Reason = answer.StatusCode, answer.Header.Get("X-Eastway-Reason")
	record.Broken = answer.Header.Get(brokenHeader) != ""
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && answer.ContentLength >= 0 && n != answer.ContentLength {
		err = fmt.Errorf("%d of %d bytes without an error", n, answer.ContentLength)
	}
	return errors.Join(err, answer.Body.Close())
}

// body of a POST: short mostly, of known length or chunked.
func (c *caller) body() io.Reader {
	length := c.draw.IntN(mostBody)
	if c.draw.IntN(longIn) == 0 {
		length = longBody
	}
	body := bytes.NewReader(make([]byte, length))
	if c.draw.IntN(2) == 0 {
		return io.MultiReader(body) // hides the length
	}
	return body
}
