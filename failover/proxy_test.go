package failover

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap/zapcore"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := func() Config {
		return Config{Cluster: "c", Catalog: newFakeCatalog(&discovery.Snapshot{}), Tunnels: &fakeTunnels{}}
	}
	if _, err := New(good()); err != nil {
		t.Error(err)
	}
	for field, spoil := range map[string]func(*Config){
		"Cluster":                   func(c *Config) { c.Cluster = "" },
		"Catalog":                   func(c *Config) { c.Catalog = nil },
		"Tunnels":                   func(c *Config) { c.Tunnels = nil },
		"ConnectBudget":             func(c *Config) { c.ConnectBudget = -1 },
		"MaxConnections":            func(c *Config) { c.MaxConnections = -1 },
		"MaxConnectionsPerListener": func(c *Config) { c.MaxConnectionsPerListener = -1 },
		"MaxStreamsPerPeer":         func(c *Config) { c.MaxStreamsPerPeer = -1 },
	} {
		c := good()
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestManyShortConnections: 10,000, half of them through a peer, none fails and nothing is left behind.
func TestManyShortConnections(t *testing.T) {
	t.Parallel()
	const workers, each = 20, 200
	reg := prometheus.NewRegistry()
	w := newWorld(t,
		func(_ *world, c *Config) { c.Metrics = reg },
		locals("LIVE", here, "DEAD", here),
		peer("a", abroad, &fakePeer{handle: accepts("a")}),
	)
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				if got, err := w.ask(fmt.Sprint(i)); err != nil || !strings.HasSuffix(got, fmt.Sprint(" got ", i)) {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d failed", n)
	}
	w.eventually("ended", func() bool { return w.proxy.Active() == 0 && w.access.Len() == workers*each })
	if n := testutil.ToFloat64(w.proxy.metrics.connections.WithLabelValues("shop/echo", access.Outbound, access.OK)); n != workers*each {
		t.Errorf("%v counted", n)
	}
	for _, e := range w.proxy.Endpoints(echoName) {
		if e.Active != 0 {
			t.Errorf("%s has %d active", e.Address, e.Active)
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]setup{
		"all":          func(_ *world, c *Config) { c.MaxConnections = 2 },
		"per listener": func(_ *world, c *Config) { c.MaxConnectionsPerListener = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, limit, locals("LIVE", here))
			first, second := w.dial(), w.dial()
			w.eventually("in flight", func() bool { return w.proxy.Active() == 2 })
			if got, err := w.ask("hi"); !isReset(err) {
				t.Errorf("got %q, %v; want a reset", got, err)
			}
			for _, c := range []io.ReadWriteCloser{first, second} {
				_ = c.Close()
			}
			w.eventually("free", func() bool { return w.proxy.Active() == 0 })
			if got, err := w.ask("hi"); err != nil || got != "LIVE got hi" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here))
	c := w.dial()
	w.listening(1)
	w.eventually("in flight", func() bool { return w.proxy.Active() == 1 })
	drained := make(chan error, 1)
	go func() { drained <- w.proxy.Drain(t.Context()) }()
	w.eventually("closed", func() bool {
		c, err := w.connect()
		if err == nil {
			_ = c.Close() // was still taken, and must not keep the drain waiting
		}
		return err != nil
	})
	w.listening(0)
	if w.proxy.Ready() == nil {
		t.Error("ready while draining")
	}
	if got := refused(w.serve(&fakePeer{}, request())); got != tunnelpb.Answer_CODE_DRAINING {
		t.Errorf("a peer was told %v", got)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained with a connection in flight: %v", err)
	default:
	}
	if got, err := ask(t, c, "hi"); err != nil || got != "LIVE got hi" {
		t.Errorf("the connection in flight: %q, %v", got, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here))
	c := w.dial()
	w.eventually("in flight", func() bool { return w.proxy.Active() == 1 })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("time is up"))
	if err := w.proxy.Drain(ctx); err == nil || !strings.Contains(err.Error(), "1 connection") || !strings.Contains(err.Error(), "time is up") {
		t.Errorf("drain: %v", err)
	}
	if _, err := io.ReadAll(c); !isReset(err) {
		t.Errorf("got %v; want a reset", err)
	}
	if got := w.line()["ended"]; got != "stopped" {
		t.Errorf("ended %v", got)
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var mu sync.Mutex
	w := newWorld(t,
		func(_ *world, c *Config) { c.AccessLog = NewAccessLog(zapcore.Lock(lockedBuffer{&mu, &out})) },
		peer("a", abroad, &fakePeer{handle: func(in *fakeIncoming) {
			s, err := in.Accept(&tunnelpb.Answer{Endpoint: "10.9.9.9:80", EndpointLocality: &tunnelpb.Locality{Region: "r", Zone: "z"}})
			if err == nil {
				_, _ = io.Copy(s, s)
				_ = s.CloseWrite()
			}
		}}),
		locals("DEAD", here),
	)
	c := w.dial()
	if got, err := ask(t, c, "hi"); err != nil || got != "hi" {
		t.Fatalf("got %q, %v", got, err)
	}
	w.eventually("logged", func() bool { mu.Lock(); defer mu.Unlock(); return out.Len() > 0 })
	mu.Lock()
	defer mu.Unlock()
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	for field, want := range map[string]any{
		"direction": "outbound", "service": "shop/echo", "port": float64(servicePort), "caller": c.LocalAddr().String(),
		"caller_cluster": "cn-hangzhou", "caller_locality": "cn-hangzhou/cn-hangzhou-h", "endpoint": "10.9.9.9:80",
		"cluster": "a", "locality": "r/z", "lane": "a-1/tcp-1", "bytes_in": 2.0, "bytes_out": 2.0,
		"result": "ok", "ended": "client closed",
	} {
		if line[field] != want {
			t.Errorf("%s is %v, want %v", field, line[field], want)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(line["time"])); err != nil {
		t.Error(err)
	}
	attempts, _ := line["attempts"].([]any)
	if len(attempts) != 2 {
		t.Fatalf("attempts: %v", line["attempts"])
	}
	if first, _ := attempts[0].(map[string]any); !strings.Contains(fmt.Sprint(first["reason"]), "refused") || first["result"] != "refused" {
		t.Errorf("first attempt: %v", first)
	}
}

type lockedBuffer struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (lockedBuffer) Sync() error { return nil }

func TestEndpointsAndServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here, "DEAD", beside), peer("far", abroad, &fakePeer{handle: accepts("far")}),
		peer("gone", abroad, &fakePeer{replicas: []string{}}), peer("leaving", abroad, &fakePeer{}),
		func(w *world, _ *Config) {
			w.tunnels.peers["gone"].state.Usable = false
			e := w.service.Endpoints[servicePort]
			w.service.Endpoints[servicePort] = append(e, discovery.Endpoint{Address: dead(w.t), Locality: here},
				discovery.Endpoint{Address: dead(w.t), Locality: beside, Terminating: true})
			w.service.Peers[2].Readiness = []discovery.Readiness{{Locality: abroad, Port: servicePort, Terminating: 1, Total: 1}}
		})
	var got []string
	for _, e := range w.proxy.Endpoints(echoName) {
		got = append(got, fmt.Sprint(e.Level, " ", e.Cluster, " ", e.Region, " ", e.Status, " ", e.OutlierCheck))
	}
	want := []string{
		"0 cn-hangzhou cn-hangzhou HEALTHY OK",
		"0 cn-hangzhou cn-hangzhou NOT_READY OK",
		"1 cn-hangzhou cn-hangzhou HEALTHY OK",
		"1 cn-hangzhou cn-hangzhou TERMINATING OK",
		"3 far ap-northeast-1 HEALTHY OK",
		"3 gone ap-northeast-1 UNREACHABLE OK",
		"3 leaving ap-northeast-1 TERMINATING OK",
	}
	slices.Sort(got[:2])
	slices.Sort(got[2:4]) // by address, and which is lower is chance
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if w.proxy.Endpoints(discovery.ServiceName{Name: "none"}) != nil {
		t.Error("endpoints of nothing")
	}
}
