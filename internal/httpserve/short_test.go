package httpserve

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/internal/shortage"
)

// shortListener cannot accept so many times, for want of err.
type shortListener struct {
	net.Listener
	errno  syscall.Errno
	errors int
}

func (l *shortListener) Accept() (net.Conn, error) {
	if l.errors--; l.errors >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", l.errno)}
	}
	return l.Listener.Accept()
}

// A listener that cannot accept goes on when it can, and the operator sees why it could not: once in the log, in status, in the metric.
func TestNotAccepted(t *testing.T) {
	t.Parallel()
	for errno, of := range map[syscall.Errno]shortage.Resource{
		syscall.EMFILE: shortage.Files, syscall.ENOMEM: shortage.Memory, syscall.EPERM: "",
	} {
		const tries = 4
		core, logs := observer.New(zap.DebugLevel)
		reg := prometheus.NewRegistry()
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server, err := New(&shortListener{l, errno, tries}, http.NotFoundHandler(), zap.New(core), reg)
		if err != nil {
			t.Fatal(err)
		}
		running(t, server)
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + l.Addr().String() + "/")
		if err != nil {
			t.Fatalf("%v: %v", errno, err)
		}
		_ = resp.Body.Close()
		if of != "" {
			if n := testutil.ToFloat64(shortage.Counter(reg).WithLabelValues(string(of))); n != tries {
				t.Errorf("%v: %v counted", errno, n)
			}
		}
		if all := logs.All(); len(all) != 1 || !strings.HasPrefix(all[0].Message, "HTTP listener 127.0.0.1:") || all[0].Level != zap.WarnLevel {
			t.Errorf("%v: the log has %v", errno, all)
		}
		if p := server.Problems(); len(p) != 1 || !strings.Contains(p[0], "(4×") {
			t.Errorf("%v: status has %q", errno, p)
		}
	}
}

// stuckListener can never accept.
type stuckListener struct{ net.Listener }

func (stuckListener) Accept() (net.Conn, error) { return nil, syscall.EMFILE }
func (stuckListener) Close() error              { return nil }
func (stuckListener) Addr() net.Addr            { return &net.TCPAddr{} }

// A server whose listener cannot accept ends all the same.
func TestRunEndsWhileNothingIsAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, err := New(stuckListener{}, http.NotFoundHandler(), zap.NewNop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
