package takeover

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
)

// The check must meet its own listener. Here the dialer plays the rule, or a faster process.
func TestChecker(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = other.Close()
		<-served
	})
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its backlog, as a TLS server that waits for a ClientHello
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, tt := range []struct {
		name, to, want string
	}{
		{"rule", "", ""},
		{"another program", other.Addr().String(), "answered by another program"},
		{"another program that waits", silent.Addr().String(), "answered by another program"},
		{"no listener", "127.0.0.1:1", "did not reach the rule"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := testMetrics(t)
			c, err := newChecker(t.Context(), addrPort("10.96.0.1:443"), &Env{}, zap.NewNop(), m.bypassed)
			if err != nil {
				t.Fatal(err)
			}
			rule := c.rule()
			if rule.Address != addrPort("10.96.0.1:443") || rule.Mark != checkMark || !rule.Listener.Addr().IsLoopback() {
				t.Errorf("rule = %+v", rule)
			}
			c.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
				address := tt.to
				if to == rule.Listener || address == "" {
					address = rule.Listener.String()
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", address)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.serve(ctx)
			}()
			err = c.once(ctx)
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("once = %v, want %q", err, tt.want)
			}
			c.settle(err)
			if d := c.datapath(); !d.Checked || (d.Bypassed == "") != (tt.want == "") || testutil.ToFloat64(m.bypassed) == 0 != (tt.want == "") {
				t.Errorf("datapath = %+v, metric %v", d, testutil.ToFloat64(m.bypassed))
			}
			c.settle(nil)
			if d := c.datapath(); d.Bypassed != "" || testutil.ToFloat64(m.bypassed) != 0 {
				t.Errorf("a passed check leaves %+v", d)
			}
			cancel()
			_ = c.listener.Close()
			<-done
		})
	}
	var none *checker
	if none.rule() != nil || none.datapath().Checked {
		t.Error("without a check there is a result of it")
	}
}

// A time-out is no evidence: what was found before stays, and status says so.
func TestCheckerThatIsLate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		before error
	}{{"passed before", nil}, {"bypassed before", errBypassed}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := testMetrics(t)
			c, err := newChecker(t.Context(), addrPort("10.96.0.1:443"), &Env{}, zap.NewNop(), m.bypassed)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.listener.Close() })
			c.settle(tt.before)
			before := c.datapath()
			c.dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
			}
			c.settle(c.once(t.Context()))
			if d := c.datapath(); d.Undecided == "" || d.Bypassed != before.Bypassed || !d.Checked ||
				testutil.ToFloat64(m.bypassed) == 0 != (tt.before == nil) {
				t.Errorf("after a time-out: %+v, before: %+v", d, before)
			}
			c.settle(nil)
			if d := c.datapath(); d.Undecided != "" || d.Bypassed != "" {
				t.Errorf("after a passed check: %+v", d)
			}
		})
	}
	// A call that is dropped, while this process is not late, is evidence.
	served, err := newChecker(t.Context(), addrPort("10.96.0.1:443"), &Env{}, zap.NewNop(), testMetrics(t).bypassed)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		served.serve(ctx)
	}()
	served.dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		if to == served.address {
			return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	}
	if err := served.once(ctx); !errors.Is(err, errDropped) {
		t.Errorf("a call that is dropped: %v", err)
	}
	cancel()
	_ = served.listener.Close()
	<-done
	// Nothing reads from the listener: this process is late, not bypassed.
	m := testMetrics(t)
	c, err := newChecker(t.Context(), addrPort("10.96.0.1:443"), &Env{}, zap.NewNop(), m.bypassed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.listener.Close() })
	c.dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", c.rule().Listener.String())
	}
	if err := c.once(t.Context()); !errors.Is(err, errNoAnswer) {
		t.Errorf("a listener that is not served: %v", err)
	}
}
