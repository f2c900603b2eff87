package failover

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// shortNetwork is this host, which cannot dial for want of something.
type shortNetwork struct {
	*host
	errno syscall.Errno
}

func (n shortNetwork) Dial(context.Context, netip.AddrPort) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", n.errno)}
}

// TestShortage: what this host is short of is no fault of an endpoint's. The operator sees it in the log, in a metric and in status, the
// caller's cluster in the answer.
func TestShortage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		errno  syscall.Errno
		of     shortage.Resource
		remedy string
		reason string
	}{
		{syscall.EADDRNOTAVAIL, shortage.Ports, "net.ipv4.ip_local_port_range", "has no free local port"},
		{syscall.EAGAIN, shortage.Ports, "net.ipv4.ip_local_port_range", "has no free local port"},
		{syscall.EMFILE, shortage.Files, "LimitNOFILE", "has no free file descriptor"},
		{syscall.ENOBUFS, shortage.Memory, "more memory", "has no memory"},
	} {
		w := newWorld(t, locals("LIVE", here), func(_ *world, c *Config) { c.Network = shortNetwork{newHost(descriptors.Gate{}), tt.errno} })
		const calls = 2 * ejectAfter
		for range calls {
			if got, err := w.ask("hello"); !isReset(err) {
				t.Fatalf("%v: %q %v", tt.errno, got, err)
			}
		}
		line := w.line()
		if line["result"] != access.Limit || !strings.Contains(line["error"].(string), tt.reason) ||
			!strings.HasSuffix(results(line)[0], " limit") {
			t.Errorf("%v: %v", tt.errno, line)
		}
		w.eventually("counted", func() bool {
			return testutil.ToFloat64(w.proxy.metrics.short.WithLabelValues(string(tt.of))) == calls
		})
		if p := w.proxy.Problems(); len(p) != 1 || !strings.Contains(p[0], "(6×") || !strings.Contains(p[0], tt.remedy) {
			t.Errorf("%v: status has %q", tt.errno, p)
		}
		what, remedy := refusal(tt.of).text()
		if all := w.log.FilterMessage(what).All(); len(all) != 1 || all[0].ContextMap()["remedy"] != remedy {
			t.Errorf("%v: the log has %v", tt.errno, all)
		}
		for _, e := range w.proxy.Endpoints(echoName) {
			if e.OutlierCheck != status.CheckOK {
				t.Errorf("%v: %+v", tt.errno, e)
			}
		}
		s := w.serve(&fakePeer{}, request())
		var e *tunnel.RefusedError
		if refused(s) != tunnelpb.Answer_CODE_OVERLOADED || !asRefused(s.Outcome(), &e) || e.RetryAfter <= 0 ||
			!strings.Contains(e.Reason, tt.reason) {
			t.Errorf("%v: the peer gets %v", tt.errno, s.Outcome())
		}
	}
}

// TestNoRoute: that this host has no route to an endpoint, or no address for it, counts against the endpoint, and is no want of ports. The
// operator sees that it is the host's fault.
func TestNoRoute(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EAFNOSUPPORT} {
		w := newWorld(t, locals("LIVE", here), func(_ *world, c *Config) { c.Network = shortNetwork{newHost(descriptors.Gate{}), errno} })
		for range 2 * ejectAfter {
			if got, err := w.ask("hello"); !isReset(err) {
				t.Fatalf("%v: %q %v", errno, got, err)
			}
		}
		if line := w.line(); line["result"] != access.NoEndpoint {
			t.Errorf("%v: %v", errno, line)
		}
		w.eventually("counted", func() bool {
			return testutil.ToFloat64(w.proxy.metrics.short.WithLabelValues(string(shortage.Routes))) >= 2*ejectAfter
		})
		what, remedy := shortage.Routes.Text()
		if p := strings.Join(w.proxy.Problems(), "\n"); !strings.Contains(p, what) || !strings.Contains(p, remedy) {
			t.Errorf("%v: status has %q", errno, p)
		}
		if n := w.log.FilterMessage(what).Len(); n != 1 {
			t.Errorf("%v: %d lines in the log", errno, n)
		}
		if code := refused(w.serve(&fakePeer{}, request())); code != tunnelpb.Answer_CODE_UNAVAILABLE {
			t.Errorf("%v: the peer gets %v", errno, code)
		}
	}
}

// TestLimitOfPeer: why a peer's limit refuses a call is in the access log, whole, and the operator sees that it is the peer's. The peer is
// not broken.
func TestLimitOfPeer(t *testing.T) {
	t.Parallel()
	const reason = "4096 streams of cluster cn-hangzhou are open, 4096 of them to shop/echo: as many as one peer may have (--max-streams-per-peer)"
	w := newWorld(t, peer("far", abroad, &fakePeer{handle: func(in *fakeIncoming) {
		_ = in.Refuse(tunnelpb.Answer_CODE_OVERLOADED, reason, time.Nanosecond)
	}}))
	for range 2 * ejectAfter {
		if got, err := w.ask("hello"); !isReset(err) {
			t.Fatalf("%q %v", got, err)
		}
	}
	w.eventually("logged", func() bool { return w.access.Len() == 2*ejectAfter })
	for _, l := range w.access.All() {
		line := l.ContextMap()
		attempt := line["attempts"].([]any)[0].(map[string]any)
		if line["result"] != access.Limit || !strings.HasSuffix(line["error"].(string), "peer far: "+reason) || attempt["result"] != "limit" ||
			!strings.HasSuffix(attempt["reason"].(string), reason) {
			t.Errorf("%v", line)
		}
	}
	if p := w.proxy.Problems(); len(p) != 1 || !strings.Contains(p[0], "peer far: ") || !strings.Contains(p[0], "(6×") {
		t.Errorf("status has %q", p)
	}
	all := w.log.FilterField(zap.String("peer", "far")).FilterMessageSnippet("limit").All()
	if len(all) != 1 || all[0].ContextMap()["reason"] != reason {
		t.Errorf("the log has %v", all)
	}
	if w.log.FilterMessage("endpoint ejected").Len() > 0 {
		t.Error("the peer is ejected")
	}
}

// TestFilesInReserve: connections are refused before the process has no descriptor left for anything else.
func TestFilesInReserve(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here), func(_ *world, c *Config) { c.OpenFiles = 8 }) // more are open
	if got, err := w.ask("hello"); !isReset(err) {
		t.Errorf("%q %v", got, err)
	}
	if line := w.line(); line["result"] != access.Limit || !strings.Contains(line["error"].(string), "too many open files: 6 of 8 are in use") {
		t.Errorf("%v", line)
	}
	s := w.serve(&fakePeer{}, request())
	var e *tunnel.RefusedError
	if refused(s) != tunnelpb.Answer_CODE_OVERLOADED || !asRefused(s.Outcome(), &e) || !strings.Contains(e.Reason, "has no free file descriptor") {
		t.Errorf("the peer gets %v", s.Outcome())
	}
	if p := w.proxy.Problems(); len(p) != 1 || !strings.Contains(p[0], "(2×") || !strings.Contains(p[0], "LimitNOFILE") {
		t.Errorf("status has %q", p)
	}
}

// fullNetwork is this host; the first connection is accepted after so many errors.
type fullNetwork struct {
	*host
	errors int
}

type fullListener struct {
	net.Listener
	errors int
}

func (n fullNetwork) Listen(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	ln, err := n.host.Listen(ctx, at)
	return &fullListener{ln, n.errors}, err
}

func (l *fullListener) Accept() (net.Conn, error) {
	if l.errors--; l.errors >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// TestNotAccepted: a listener that cannot accept for want of descriptors goes on, and the operator sees it once.
func TestNotAccepted(t *testing.T) {
	t.Parallel()
	const tries = 3
	w := newWorld(t, locals("LIVE", here), func(_ *world, c *Config) { c.Network = fullNetwork{newHost(descriptors.Gate{}), tries} })
	if got, err := w.ask("hello"); got != "LIVE got hello" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if n := testutil.ToFloat64(w.proxy.metrics.short.WithLabelValues(string(shortage.Files))); n != tries {
		t.Errorf("%v counted", n)
	}
	what, _ := shortage.Files.Text()
	if n := w.log.FilterMessage(what).Len(); n != 1 || w.log.FilterMessageSnippet("cannot accept").Len() > 0 {
		t.Errorf("%d lines in the log", n)
	}
	if p := w.proxy.Problems(); len(p) != 1 || !strings.Contains(p[0], "(3×") {
		t.Errorf("status has %q", p)
	}
}

// TestLanesAreFull: that a peer's lanes have no place is a limit, and another peer answers if there is one.
func TestLanesAreFull(t *testing.T) {
	t.Parallel()
	for name, isHTTP := range map[string]bool{"TCP": false, "HTTP": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world, c *Config) {
				if isHTTP {
					overHTTP(w, c)
				}
			}, peer("near", here, &fakePeer{full: true}))
			c := w.dial()
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			_, _ = io.ReadAll(c)
			line := w.line()
			if line["result"] != access.Limit || !strings.Contains(fmt.Sprint(line["attempts"]), "all lanes are full") || len(results(line)) != 1 {
				t.Errorf("%v", line)
			}
			if said := w.proxy.Problems(); len(said) != 0 { // it is no limit of the peer's; package tunnel has the line
				t.Errorf("status: %q", said)
			}
		})
	}
}
