package httpserve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves metrics on a free port until stop is called.
func start(t *testing.T) (address string, stop func() error) {
	t.Helper()
	reg := prometheus.NewRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "up", Help: "Always 0."})
	reg.MustRegister(up)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(l, Metrics(reg, zap.NewNop()), zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	return server.Addr().String(), func() error {
		cancel()
		return <-ended
	}
}

// ask writes a request on a connection of its own, and checks the answer.
func ask(t *testing.T, address, request string, check func(*http.Response)) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	check(resp)
	return conn
}

// A connection that sends nothing does not keep Run from ending.
func TestRunEndsWithSilentClient(t *testing.T) {
	t.Parallel()
	address, stop := start(t)
	// A whole exchange first: the server has accepted the connection.
	conn := ask(t, address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET ", func(resp *http.Response) {
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "\nup 0\n") {
			t.Errorf("answered %s, %v: %s", resp.Status, err, body)
		}
	})
	defer conn.Close()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the listener is still open: %v", err)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	address, stop := start(t)
	long := strings.Repeat("x", 2*MaxHeaderBytes)
	conn := ask(t, address, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+long+"\r\n\r\n", func(resp *http.Response) {
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("answered %s", resp.Status)
		}
	})
	defer conn.Close()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A listener that breaks is no orderly end.
func TestRunTellsOfABrokenListener(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(l, http.NotFoundHandler(), zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Run(t.Context()); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "serve HTTP on 127.0.0.1:") {
		t.Errorf("got %v", err)
	}
}

func TestListenErrorHasARemedy(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		syscall.EADDRINUSE: "another process has this port", syscall.EACCES: "one above 1023",
		syscall.EADDRNOTAVAIL: "no such address", io.EOF: "choose another address",
	} {
		got := ListenError("1.2.3.4:5", err)
		if !errors.Is(got, err) || !strings.Contains(got.Error(), "listen on 1.2.3.4:5: ") || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: want %q in it", got, want)
		}
	}
}
