package hostile

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

const (
	// named is how many names of services an attacker exports, or requests, in one go.
	named = 200
	// moreSeries is how many more series of metrics a peer may make: by its own name, limits it meets, and results.
	moreSeries = 100
	// longest text in status, and value of a label, in bytes.
	longestText, longestLabel = 2 << 10, 253
)

// ugly are texts that no log, status, condition or label may have as they are.
var ugly = sync.OnceValue(func() []string {
	return []string{
		"\x1b[2J\x1b[31mowned", "a\u009b2J", "line\r\n{\"level\":\"error\",\"msg\":\"forged\"}", "\u202egnp.exe\u2028", "\x00\x07\x7f",
		strings.Repeat("x", 250), strings.Repeat("ü", 100<<10),
	}
})

// A peer whose names of services, namespaces, localities, callers, replicas, versions and reasons are ugly, long, and never the same twice
// writes no line that does not print, makes no series of its own, and finds nothing that stays.
func TestPeerWithUglyTexts(t *testing.T) { //nolint:paralleltest // it measures the process
	bait := discovery.ServiceName{Namespace: "shop", Name: "bait"}
	listener := free(t)
	w := startWorld(t, &config{services: map[discovery.ServiceName]*discovery.Service{bait: service(bait, listener, netip.AddrPort{})}})
	before := w.victim.series(t)
	linesBefore, sizeBefore := w.victim.log.size()
	p := &pest{bait: bait, listener: listener}
	w.suffer(t, &attack{
		name: "ugly texts, names never the same", budget: 96 * MiB,
		begin: func(_ context.Context, t *testing.T) func() {
			t.Helper()
			return func() { w.removeEvil(t) }
		},
		meanwhile: func(t *testing.T) {
			t.Helper()
			for range len(ugly()) {
				p.live(t, w)
			}
			w.victim.checkTexts(t)
		},
	})
	lines, size := w.victim.log.size()
	t.Logf("%d lives, %d names, %d calls answered with ugly texts: %d lines of log, %d KiB, %d series of metrics, %d before",
		p.lives, p.names.Load(), p.answers.Load(), lines-linesBefore, (size-sizeBefore)>>10, w.victim.series(t), before)
	if n := w.victim.series(t); n > before+moreSeries {
		t.Errorf("%d series of metrics, %d before", n, before)
	}
	if p.answers.Load() == 0 {
		t.Error("no call reached the attacker: its answers are not tested")
	}
	if log := w.victim.log.String(); !strings.Contains(log, "peer sent an invalid catalog message") ||
		!strings.Contains(log, "is not printable") {
		t.Errorf("the log does not say that messages were invalid: %.2000s", log)
	}
}

// pest is a peer with ugly texts.
type pest struct {
	bait     discovery.ServiceName
	listener netip.AddrPort // of the victim, for bait

	lives          int
	names, answers atomic.Int64
}

// text is one of them.
func (p *pest) text() string {
	all := ugly()
	return all[(p.lives+rand.IntN(2))%len(all)]
}

// fresh is a valid name that there was not before.
func (p *pest) fresh() string { return fmt.Sprintf("n-%d-%d", p.lives, p.names.Add(1)) }

// live is what one process of the pest does, from its start to its end.
func (p *pest) live(t *testing.T, w *world) {
	t.Helper()
	p.lives++
	if p.lives%len(ugly()) == 0 { // its Hello is ugly: it gets no link
		_, stop := w.join(t, evil, tunnel.Config{DisableQUIC: true, Version: ugly()[p.lives/len(ugly())%2]})
		pass(50 * time.Millisecond)
		stop()
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	spoken := make(chan struct{})
	once := sync.OnceFunc(func() { close(spoken) })
	n, stop := w.join(t, evil, tunnel.Config{
		DisableQUIC: true, Handle: p.answer,
		Messages: func(ctx context.Context, _ tunnel.Link, c tunnel.MessageConn) error {
			defer once()
			return p.speak(ctx, w, c)
		},
	})
	defer stop()
	await(t, "the attacker has a tunnel", func() bool { return n.State(victim).Usable })
	var wg sync.WaitGroup
	wg.Go(func() { p.call(t) })
	wg.Go(func() { p.request(ctx, n) })
	wg.Wait()
	select {
	case <-spoken:
	case <-time.After(10 * time.Second):
		t.Error("the catalog was not sent")
	}
}

// speak sends a catalog with fresh names, and then something that is not valid.
func (p *pest) speak(ctx context.Context, w *world, c tunnel.MessageConn) error {
	u := &catalogpb.Update{Cluster: evil, Epoch: uint64(time.Now().UnixNano()), Revision: 1, Last: true}
	add := func(name discovery.ServiceName) {
		s := &catalogpb.Service{Namespace: name.Namespace, Name: name.Name}
		u.Exports = append(u.Exports, &catalogpb.Export{
			Service: s, Ports: []*catalogpb.Port{{Name: p.fresh(), Port: 80, Protocol: discovery.TCP}},
			Annotations: map[string]string{"note": strings.ToValidUTF8(cut(p.text(), 1000), "")},
		})
		u.Readiness = append(u.Readiness, &catalogpb.Readiness{
			Service: s, Rows: []*catalogpb.Readiness_Row{{Port: 80, Region: p.fresh(), Zone: p.fresh(), Ready: 1, Total: 1}},
		})
	}
	for add(p.bait); len(u.GetExports()) < named; {
		add(discovery.ServiceName{Namespace: p.fresh(), Name: p.fresh()})
	}
	if err := send(ctx, c, &catalogpb.Message{Message: &catalogpb.Message_Update{Update: u}}); err != nil {
		return err
	}
	await := func(is func() bool) {
		for !is() && ctx.Err() == nil {
			pass(time.Millisecond)
		}
	}
	first := discovery.ServiceName{Namespace: u.GetExports()[1].GetService().GetNamespace(), Name: u.GetExports()[1].GetService().GetName()}
	await(func() bool { return w.victim.catalog.Snapshot().Services.Get(first) != nil })
	if err := send(ctx, c, p.invalid()); err != nil {
		return err
	}
	for { // until the victim ends it
		if _, err := c.Receive(ctx); err != nil {
			return err
		}
	}
}

// invalid is a message that has an ugly text where there may be none.
func (p *pest) invalid() *catalogpb.Message {
	x := p.text()
	s := &catalogpb.Service{Namespace: "shop", Name: "other"}
	u := &catalogpb.Update{Cluster: evil, Epoch: uint64(time.Now().UnixNano()), Revision: 2, Last: true}
	switch rand.IntN(8) {
	case 0:
		u.Exports = []*catalogpb.Export{{Service: &catalogpb.Service{Namespace: x, Name: "other"}}}
	case 1:
		u.Exports = []*catalogpb.Export{{Service: &catalogpb.Service{Namespace: "shop", Name: x}}}
	case 2:
		u.Exports = []*catalogpb.Export{{Service: s, Ports: []*catalogpb.Port{{Name: x, Port: 80, Protocol: discovery.TCP}}}}
	case 3:
		u.Exports = []*catalogpb.Export{{Service: s, Ports: []*catalogpb.Port{{Port: 80, Protocol: x}}}}
	case 4:
		u.Exports = []*catalogpb.Export{{Service: s, Labels: map[string]string{"a": x}}}
	case 5:
		u.Readiness = []*catalogpb.Readiness{{Service: s, Rows: []*catalogpb.Readiness_Row{{Port: 80, Zone: x}}}}
	case 6:
		u.Readiness = []*catalogpb.Readiness{{Service: s, Pods: []*catalogpb.Readiness_Pod{{Hostname: x}}}}
	default:
		u.Cluster = x
	}
	return &catalogpb.Message{Message: &catalogpb.Message_Update{Update: u}}
}

func send(ctx context.Context, c tunnel.MessageConn, m *catalogpb.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return c.Send(ctx, b)
}

// request opens streams to services that there are not.
func (p *pest) request(ctx context.Context, n *tunnel.Node) {
	for range named {
		const fits = 253
		x := strings.ToValidUTF8(cut(p.text(), fits), "")
		h := &tunnel.Header{
			Namespace: p.fresh(), Service: p.fresh(), Port: 80, Protocol: discovery.TCP, Caller: x, Hostname: x, Traceparent: x,
			CallerLocality: &tunnelpb.Locality{Region: x, Zone: p.fresh()}, Visited: []string{x},
		}
		if rand.IntN(2) == 0 {
			h.Namespace, h.Service = x, x
		}
		if s, err := n.Open(ctx, victim, h, nil); err == nil {
			s.Reset(x)
		}
	}
}

// call calls the pest's service, as an application of the victim does.
func (p *pest) call(t *testing.T) {
	for range 5 {
		if c, err := dialFrom(t.Context(), attacker, p.listener); err == nil {
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = c.Write([]byte("hello"))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}
}

// answer answers such a call.
func (p *pest) answer(in *tunnel.Incoming) {
	const fits = 1000
	x := strings.ToValidUTF8(cut(p.text(), fits), "")
	if rand.IntN(3) == 0 {
		_ = in.Refuse(tunnelpb.Answer_CODE_UNAVAILABLE, x, 0)
		return
	}
	s, err := in.Accept(&tunnelpb.Answer{Endpoint: x, EndpointLocality: &tunnelpb.Locality{Region: x, Zone: x}})
	if err != nil {
		return
	}
	p.answers.Add(1)
	_, _ = s.Read(make([]byte, 1))
	s.Reset(x)
}

func cut(s string, most int) string { return s[:min(len(s), most)] }

// series is how many series of metrics there are. It looks at their labels.
func (s *site) series(t *testing.T) (n int) {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		n += len(f.GetMetric())
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if v := l.GetValue(); len(v) > longestLabel || !prints(v) {
					t.Errorf("%s{%s=%.300q}", f.GetName(), l.GetName(), v)
				}
			}
		}
	}
	return n
}

// checkTexts looks at what status shows.
func (s *site) checkTexts(t *testing.T) {
	t.Helper()
	texts := s.problems()
	for _, p := range s.node.Status() {
		texts = append(texts, p.LastError, p.Reason)
		for i := range p.Links {
			l := &p.Links[i]
			texts = append(texts, l.Replica, l.Region, l.Zone, l.Version)
		}
	}
	for _, text := range texts {
		if len(text) > longestText || !prints(text) {
			t.Errorf("status has %d bytes: %.300q", len(text), text)
		}
	}
}
