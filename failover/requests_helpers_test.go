package failover

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// overHTTP makes the service's port HTTP.
func overHTTP(w *world, _ *Config) { w.service.Ports[0].HTTP = true }

// webs adds local endpoints that are web servers.
func webs(l locality, handlers ...http.HandlerFunc) setup {
	return func(w *world, _ *Config) {
		for _, h := range handlers {
			w.service.Endpoints[servicePort] = append(w.service.Endpoints[servicePort], endpoint(web(w.t, h), l))
		}
	}
}

// web is a web server for HTTP/1.1 and h2c.
func web(t testing.TB, h http.HandlerFunc) netip.AddrPort { return webWith(t, h, nil) }

// webWith also reports its connections.
func webWith(t testing.TB, h http.HandlerFunc, state func(net.Conn, http.ConnState)) netip.AddrPort {
	t.Helper()
	return webOf(t, &http.Server{Handler: h, ConnState: state})
}

// webOf serves HTTP/1.1 and h2c.
func webOf(t testing.TB, s *http.Server) netip.AddrPort {
	t.Helper()
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(freshAddress(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	s.Protocols.SetHTTP2(s.TLSConfig != nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.TLSConfig != nil {
			_ = s.ServeTLS(ln, "", "")
			return
		}
		_ = s.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// client is one of the service, without retries of its own: each request has a new connection.
func (w *world) client() *http.Client {
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (w *world) url(path string) string {
	return fmt.Sprintf("http://%s%s", netip.AddrPortFrom(w.service.Addresses[0], servicePort), path)
}

// steady is a client on one connection: each request begins when the proxy has ended with the one before it.
func (w *world) steady() *http.Client {
	tr := &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// send sends a request on a connection of its own and returns the answer's status and body.
func (w *world) send(method, path, body string) (status int, answer string, header http.Header) {
	w.t.Helper()
	return w.sendBy(w.client(), method, path, body)
}

func (w *world) sendBy(client *http.Client, method, path, body string) (status int, answer string, header http.Header) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url(path), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// counting counts a handler's requests.
func counting(n *atomic.Int32, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		h(w, r)
	}
}

// resets reads the request whole and resets the connection.
func resets(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

func refusing(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "from the endpoint")
	}
}
