package failover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	requests "github.com/eastway/eastway/failover/http"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/internal/status"
)

// probes are the calls that this proxy makes of itself, by the address that they come from.
type probes struct {
	n atomic.Int32 // under way

	mu    sync.Mutex
	calls map[string]chan *access.Entry
	// early are the newest lines of callers that are not known: a probe's may come before its own address is.
	early []*access.Entry
}

// begin is false when there are too many. end belongs to it.
func (p *probes) begin() bool {
	if p.n.Add(1) <= maxOwnCalls {
		return true
	}
	p.n.Add(-1)
	return false
}

func (p *probes) end(caller string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, caller)
	if p.n.Add(-1) == 0 {
		p.early = nil
	}
}

// ended takes the line of a connection or request that may be a probe's.
func (p *probes) ended(e *access.Entry) {
	if p.n.Load() == 0 || e.Direction != access.Outbound {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n.Load() == 0 { // the last one has ended meanwhile
		return
	}
	if ch, ok := p.calls[e.Caller]; ok {
		ch <- e // it has room for one
		delete(p.calls, e.Caller)
		return
	}
	if len(p.early) == maxEarlyLines {
		p.early = slices.Delete(p.early, 0, 1)
	}
	p.early = append(p.early, e)
}

// line of a caller, when it ends.
func (p *probes) line(caller string) <-chan *access.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := make(chan *access.Entry, 1)
	if i := slices.IndexFunc(p.early, func(e *access.Entry) bool { return e.Caller == caller }); i >= 0 {
		ch <- p.early[i]
		return ch
	}
	if p.calls == nil {
		p.calls = make(map[string]chan *access.Entry)
	}
	p.calls[caller] = ch
	return ch
}

// Probe makes one call to a service as an application does, through this proxy's own listener, and returns what became of it. It is nil
// when there is no such service; the error is why no call was made.
func (p *Proxy) Probe(ctx context.Context, q status.ProbeQuery) (*status.Probe, error) {
	name := discovery.ServiceName{Namespace: q.Namespace, Name: q.Name}
	if known, err := p.mayProbe(name, &q); !known {
		return nil, err
	}
	b, err := p.listeners.Open(name, q.Port)
	if err != nil || !b.At.IsValid() {
		return noListener(&q, &b, err)
	}
	request, err := probeRequest(&q)
	if err != nil {
		return nil, err
	}
	if !p.probes.begin() {
		return nil, fmt.Errorf("%d probes are under way at this proxy: try again", maxOwnCalls)
	}
	caller := ""
	defer func() { p.probes.end(caller) }()
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	conn, err := p.cfg.Network.Dial(ctx, b.At)
	if errors.Is(err, syscall.ECONNRESET) {
		return &status.Probe{
			Port: b.Port, Protocol: "TCP", Listener: b.At.String(), Result: access.Reset, Hops: []status.Hop{},
			Error: "the proxy reset the connection at once: there is no endpoint, or a limit is met",
		}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("call this proxy's own listener for %s: %w", name, err)
	}
	defer conn.Close()
	caller = conn.LocalAddr().String()
	line := p.probes.line(caller)
	probe := &status.Probe{Port: b.Port, Protocol: "TCP", Listener: b.At.String(), Result: access.Timeout, Hops: []status.Hop{}}
	call := touch
	if p.table.HTTP(b.Key) {
		probe.Protocol, call = "HTTP", request.exchange
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	started, expired := time.Now(), false
	if err := call(conn, probe); err != nil {
		probe.Error, expired = access.Clip(err.Error()), errors.Is(ctx.Err(), context.DeadlineExceeded)
	}
	probe.Total = time.Since(started)
	_ = conn.Close()
	late := time.NewTimer(probeGrace)
	defer late.Stop()
	select {
	case e := <-line:
		describe(probe, e)
	case <-late.C:
	}
	if expired && probe.Result != access.OK {
		expire(probe, q.Timeout)
	}
	return probe, nil
}

// mayProbe is false if there is no such service, or if it returns why no call can be made.
func (p *Proxy) mayProbe(name discovery.ServiceName, q *status.ProbeQuery) (bool, error) {
	s := p.table.Snapshot()
	if s == nil || s.Services.Get(name) == nil {
		return false, nil
	}
	if q.Timeout <= 0 || q.Timeout > MaxProbeTime {
		return false, fmt.Errorf("timeout %v is not above 0 and %v at most", q.Timeout, MaxProbeTime)
	}
	_, err := portsOf(s.Services.Get(name), q.Port)
	return err == nil, err
}

// expire says that the probe's own time has ended the call: to the proxy it was a client that went away.
func expire(p *status.Probe, after time.Duration) {
	p.Result, p.Error = access.Timeout, fmt.Sprintf("no answer within the probe's own %v: give it more with --timeout", after)
	for i := range p.Hops {
		if p.Hops[i].Result == access.ClientReset {
			p.Hops[i].Result, p.Hops[i].Reason = access.Timeout, "no answer yet"
		}
	}
}

// noListener is why no application can call the service at this proxy. Where nothing can serve it, that is what became of the call.
func noListener(q *status.ProbeQuery, b *listen.Binding, err error) (*status.Probe, error) {
	if errors.Is(err, listen.ErrVacant) {
		return &status.Probe{
			Port: b.Port, Protocol: "TCP", Listener: b.At.String(), Result: access.NoEndpoint, Hops: []status.Hop{},
			Error: "connection refused: " + err.Error() + ", so that the proxy does not listen",
		}, nil
	}
	what := q.Namespace + "/" + q.Name
	if q.Port != 0 {
		what += fmt.Sprintf(" port %d", q.Port)
	}
	if err != nil {
		return nil, fmt.Errorf("this proxy has no open listener for %s: %w", what, err)
	}
	return nil, fmt.Errorf("this proxy has no listener for %s: applications of this cluster do not call it through Eastway", what)
}

// probe is a request of this proxy to itself.
type probe struct{ *http.Request }

// probeRequest reads the request's head.
func probeRequest(q *status.ProbeQuery) (*probe, error) {
	head := q.Request
	if len(head) == 0 {
		head = fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: eastway-probe\r\n\r\n", q.Name)
	}
	r, err := requests.ReadHead(head)
	if err != nil {
		return nil, err
	}
	if hasBody := r.ContentLength != 0 || len(r.TransferEncoding) > 0; hasBody {
		return nil, errors.New("the request has a body: a probe sends the head alone")
	}
	r.Close = true
	return &probe{r}, nil
}

// exchange sends the request, and reads the whole answer.
func (r *probe) exchange(conn net.Conn, p *status.Probe) error {
	if err := r.Write(conn); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	answer, err := r.final(bufio.NewReader(conn)) //nolint:bodyclose // the connection is closed; this would read an endless body on
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	p.Status = answer.StatusCode
	n, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxProbeAnswer))
	if err == nil && n == maxProbeAnswer {
		err = fmt.Errorf("only %d bytes of the answer were read", n)
	}
	return err
}

// final is the answer behind the interim ones.
func (r *probe) final(from *bufio.Reader) (*http.Response, error) {
	for {
		answer, err := http.ReadResponse(from, r.Request)
		if err != nil || answer.StatusCode >= http.StatusOK || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, err
		}
	}
}

// touch opens a connection and sends nothing: an endpoint has accepted it when it ends it, or sends something.
func touch(conn net.Conn, _ *status.Probe) error {
	if c, ok := conn.(relay.Conn); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	_, err := conn.Read(make([]byte, 1))
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// describe fills in what the proxy knows of the call.
func describe(p *status.Probe, e *access.Entry) {
	p.Result, p.Endpoint, p.Cluster, p.Region, p.Zone = e.Result, e.Endpoint, e.Cluster, e.Locality.Region, e.Locality.Zone
	if p.Protocol == "TCP" && e.Accepted > 0 {
		p.Result, p.Total, p.Error = access.OK, e.Accepted, "" // however it ended
	}
	if p.Error == "" && e.Err != nil && p.Result != access.OK {
		p.Error = access.Clip(e.Err.Error())
	}
	for _, a := range e.Attempts {
		p.Hops = append(p.Hops, status.Hop{
			Target: a.Target, Cluster: a.Cluster, Result: a.Result, Reason: a.Reason, Took: a.Took, AtPeer: a.AtPeer,
		})
	}
}
