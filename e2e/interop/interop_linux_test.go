package interop

import (
	"net"
	"net/http"
	"sync"
	"testing"
)

// TestInterop: what carries HTTP elsewhere works through Eastway, too. The names of the subtests are those of the clients.
func TestInterop(t *testing.T) {
	t.Parallel()
	gathering := newGathering(t)
	echo := serve(t, http.HandlerFunc(echo))
	services := map[string]service{
		"grpc":      newService("grpc", "grpc", newInteropServer(t)),
		"echo":      newService("echo", "http", echo),
		"h2c":       newService("h2c", "kubernetes.io/h2c", echo),
		"socket":    newService("socket", "kubernetes.io/ws", serve(t, http.HandlerFunc(echoMessages))),
		"gathering": newService("gathering", "http", gathering.address),
	}
	var all []service
	for _, s := range services {
		all = append(all, s)
	}
	w := newWorld(t, all...)
	for _, c := range []struct {
		name, service string
		test          func(t *testing.T, s service)
	}{
		{"gRPC", "grpc", testGRPC},
		{"curl", "echo", func(t *testing.T, s service) { testCurl(t, s, curlVersions()...) }},
		{"h2c", "h2c", func(t *testing.T, s service) { testCurl(t, s, "--http2-prior-knowledge") }},
		{"h2load", "echo", testH2load},
		{"streams", "gathering", func(t *testing.T, s service) { testStreams(t, gathering, s) }},
		{"WebSocket", "socket", testWebSocket},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { w.carriedRequests(t, c.service) }) // after subtests that run in parallel
			c.test(t, services[c.service])
		})
	}
}

// carriedRequests: both proxies have seen requests for the service, and no connection that is not HTTP.
func (w *world) carriedRequests(t *testing.T, name string) {
	t.Helper()
	label := `service="` + namespace + "/" + name + `"`
	for _, c := range []cluster{w.near, w.far} {
		if n := w.metric(t, c, "eastway_connections_not_http_total", label); n != 0 {
			t.Errorf("cluster %s: %v connections were no HTTP", c.name, n)
		}
		if n := w.metric(t, c, "eastway_http_requests_total", label); n == 0 {
			t.Errorf("cluster %s: no requests for %s", c.name, name)
		}
	}
}

// serve runs a server of HTTP/1.1 and h2c until the test ends, and returns its address.
func serve(t *testing.T, h http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(newAddress(), servicePort))
	must(t, err)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000}}
	s.DisableGeneralOptionsHandler = true
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() {
		must(t, s.Close())
		running.Wait()
	})
	return l.Addr().String()
}
