package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/eastway/eastway/internal/sim/pattern"
	"github.com/eastway/eastway/internal/sim/simnet"
)

// reply is what became of an HTTP request, as its client saw it.
type reply struct {
	ask          *Ask
	client       *Client
	proxy        *proxy // that it was sent to; nil: there was none
	from         string // the client's address
	kept         bool   // the connection has carried requests before
	began, ended time.Time
	status       int    // 0: there was no answer
	reason       string // why the proxy answers itself
	endpoint     string // that answered; "": the proxy did
	run          int    // execution that the answer is of
	err          error  // nil: it went as planned
}

var (
	// errMixedUp is an answer to something else.
	errMixedUp = errors.New("the answer is not the one to the request")
	// errUnavailable is an endpoint's answer that it does not serve now.
	errUnavailable = errors.New("the endpoint is unavailable")
	// errByProxy is an answer that comes from the proxy.
	errByProxy = errors.New("the proxy answers in place of an endpoint")
)

// requesting is a client that runs.
type requesting struct {
	*world
	client *Client
	proxy  *proxy
	conn   *simnet.Conn     // nil: there is none
	http   *http.ClientConn // on conn
	used   int              // requests on it
}

// requestAll has all clients send their requests and returns when all have ended.
func (w *world) requestAll() {
	for i := range w.plan.Clients {
		r := &requesting{world: w, client: &w.plan.Clients[i]}
		w.wg.Go(func() {
			pass(time.Until(w.start.Add(r.client.At)))
			for n := range r.client.Asks {
				ask := &r.client.Asks[n]
				pass(ask.Pause)
				w.ledger.replied(r.request(ask))
			}
			r.hangUp()
		})
	}
}

// hangUp ends the connection.
func (r *requesting) hangUp() {
	if r.conn != nil {
		_ = r.http.Close()
		r.conn, r.http, r.used = nil, nil, 0
	}
}

// connect makes a connection if there is none that takes a request.
func (r *requesting) connect(ctx context.Context, o *reply) error {
	if r.conn != nil && r.http.Reserve() == nil {
		return nil
	}
	r.hangUp()
	cl := r.clusters[r.client.Cluster]
	r.proxy = cl.proxyFor(rand.New(rand.NewPCG(r.plan.Seed, uint64(o.ask.ID))))
	if o.proxy = r.proxy; o.proxy == nil {
		return errNoProxy
	}
	conn, err := cl.callers[r.client.Zone].Start().Dial(ctx, netip.AddrPortFrom(r.proxy.host.Addr(), webPort(r.client.Service)))
	if err != nil {
		return err
	}
	t := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableCompression: true, Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(!r.client.HTTP2)
	t.Protocols.SetUnencryptedHTTP2(r.client.HTTP2)
	if r.http, err = t.NewClientConn(ctx, "http", "service:80"); err != nil {
		_ = conn.Close()
		return fmt.Errorf("speak HTTP: %w", err)
	}
	r.conn = conn
	return r.http.Reserve()
}

// request sends one request and reads its answer.
func (r *requesting) request(ask *Ask) *reply {
	o := &reply{ask: ask, client: r.client, began: time.Now()}
	defer func() { o.ended = time.Now() }()
	ctx, cancel := context.WithTimeout(r.ctx, callerPatience)
	defer cancel()
	if o.err = r.connect(ctx, o); o.err != nil {
		return o
	}
	o.proxy, o.from, o.kept = r.proxy, r.conn.LocalAddr().String(), r.used > 0
	r.used++
	req, err := http.NewRequestWithContext(ctx, ask.Method, "http://service"+ask.target(), http.NoBody)
	if err != nil {
		panic(err) // the target is ours
	}
	if ask.Up > 0 {
		req.Body, req.ContentLength = newAskBody(ctx, ask), int64(ask.Up)
		if ask.ID%3 == 0 {
			req.ContentLength = -1
		}
	}
	req.Header.Set("X-Request-Id", strconv.Itoa(ask.ID))
	resp, err := r.http.RoundTrip(req)
	if err == nil {
		o.err = o.read(resp)
		_ = resp.Body.Close()
	} else {
		o.err = err
	}
	if o.err != nil {
		r.hangUp()
	}
	return o
}

// read reads an answer and holds it against the request.
func (o *reply) read(resp *http.Response) error {
	h := resp.Header
	o.status, o.reason, o.endpoint = resp.StatusCode, h.Get("X-Eastway-Reason"), h.Get(appField)
	o.run, _ = strconv.Atoi(h.Get(runField))
	switch {
	case o.reason != "":
		_, _ = io.Copy(io.Discard, resp.Body)
		return fmt.Errorf("%w: %s, %s", errByProxy, resp.Status, o.reason)
	case h.Get(askField) != strconv.Itoa(o.ask.ID), h.Get(sumField) != sumOf(o.ask):
		return fmt.Errorf("%w: %s %v", errMixedUp, resp.Status, h)
	case resp.StatusCode != http.StatusOK:
		_, err := io.Copy(io.Discard, resp.Body)
		return errors.Join(fmt.Errorf("%w: %s from %s", errUnavailable, resp.Status, o.endpoint), err)
	}
	in := flow{content: pattern.Of(o.ask.ID, pattern.ToCaller)}
	err := in.receiveAll(resp.Body)
	if err == nil && in.at != int64(o.ask.Down) {
		return fmt.Errorf("%w: %d bytes of %d", errCutOff, in.at, o.ask.Down)
	}
	return err
}
