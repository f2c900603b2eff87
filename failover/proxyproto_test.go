package failover

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	pires "github.com/pires/go-proxyproto"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/failover/proxyproto"
	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// introduced is an endpoint that greets when it has a header, then echoes. What it has read of callers comes over the channel.
func introduced(t *testing.T) (endpoint netip.AddrPort, callers <-chan string) {
	t.Helper()
	seen := make(chan string, 16)
	return backend(t, func(c *net.TCPConn) {
		_ = c.SetReadDeadline(time.Now().Add(patience)) // without a header the test is to fail
		r := bufio.NewReader(c)
		h, err := pires.Read(r)
		if err != nil {
			seen <- err.Error()
			return
		}
		caller := "LOCAL"
		if !h.Command.IsLocal() {
			caller = fmt.Sprint(h.SourceAddr, " to ", h.DestinationAddr)
		}
		tlvs, err := h.TLVs()
		if err != nil {
			caller += " " + err.Error()
		}
		for _, v := range tlvs {
			if v.Type == proxyproto.TypeCluster {
				caller += " of " + string(v.Value)
			}
		}
		seen <- caller
		_, _ = io.WriteString(c, "hello ")
		_, _ = io.Copy(c, r)
	}), seen
}

func withProxyProtocol(w *world, _ *Config) { w.service.ProxyProtocol = true }

// TestProxyProtocol: each endpoint that is chosen gets the header first, of the caller that it is chosen for.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	at, callers := introduced(t)
	w := newWorld(t, withProxyProtocol, endpoints(endpoint(dead(t), here), endpoint(at, beside)))
	c := w.dial()
	want := fmt.Sprintf("%v to %v of cn-hangzhou", c.LocalAddr(), at)
	if got := <-callers; got != want { // before the caller has sent anything
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := ask(t, c, "early"); err != nil || got != "hello early" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestProxyProtocolOfPeers(t *testing.T) {
	t.Parallel()
	for caller, want := range map[string]string{
		"10.1.1.1:1234":  "10.1.1.1:1234 to %v of a",
		"[fd00::1]:1234": "[fd00::1]:1234 to %v of a",
		"127.0.0.1:1234": "LOCAL of a", // the endpoint may trust its own host
		"localhost:1234": "LOCAL of a",
		"":               "LOCAL of a",
	} {
		at, callers := introduced(t)
		w := newWorld(t, withProxyProtocol, endpoints(endpoint(dead(t), here), endpoint(at, beside)))
		h := request()
		h.Caller = caller
		s := w.serve(&fakePeer{}, h)
		_, _ = io.WriteString(s, "early")
		_ = s.CloseWrite()
		if got, err := io.ReadAll(s); err != nil || string(got) != "hello early" {
			t.Errorf("%s: %q, %v", caller, got, err)
		}
		if want == "" {
			continue
		}
		if got := <-callers; got != want && got != fmt.Sprintf(want, at) {
			t.Errorf("%s: %s", caller, got)
		}
	}
}

// TestProxyProtocolOfChecks: what the proxy connects for itself has no caller.
func TestProxyProtocolOfChecks(t *testing.T) {
	t.Parallel()
	at, callers := introduced(t)
	w := newWorld(t, withProxyProtocol, endpoints(endpoint(at, here)))
	h := request()
	h.Probe = true
	s := w.serve(&fakePeer{}, h)
	if code := refused(s); code != 0 {
		t.Errorf("probe of a peer: %v", code)
	}
	if got := <-callers; got != "LOCAL" {
		t.Errorf("probe of a peer: %s", got)
	}
	conn, err := dial.New(dial.Config{Network: newHost(descriptors.Gate{})}).Local(t.Context(), originate.To{Address: at}, true)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if got := <-callers; got != "LOCAL" {
		t.Errorf("health check: %s", got)
	}
}

// TestStreamsOfOneCaller: a peer whose port is not HTTP may show its endpoint who opened a stream, so that requests of another caller do
// not follow on it.
func TestStreamsOfOneCaller(t *testing.T) {
	t.Parallel()
	at := web(t, says("abroad"))
	var mu sync.Mutex
	var opened []string
	w := newWorld(t, overHTTP, peer("b", abroad, &fakePeer{handle: func(in *fakeIncoming) {
		mu.Lock()
		opened = append(opened, in.Header().GetCaller())
		mu.Unlock()
		carry(t, in, at)
	}}), func(w *world, _ *Config) {
		w.service.Peers[0].Ports = []discovery.ServicePort{{Name: "tcp", Port: servicePort, Protocol: discovery.TCP}}
	})
	var callers []string
	for range 2 {
		c := w.dial()
		callers = append(callers, c.LocalAddr().String())
		r := bufio.NewReader(c)
		for range 2 {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "abroad" {
				t.Errorf("%q, %v", b, err)
			}
			_ = resp.Body.Close()
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(opened, callers) {
		t.Errorf("streams of %q, callers are %q", opened, callers)
	}
}

// carry accepts a stream and carries it as TCP.
func carry(t *testing.T, in *fakeIncoming, at netip.AddrPort) {
	t.Helper()
	c, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(at))
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	s, err := in.Accept(&tunnelpb.Answer{Code: tunnelpb.Answer_CODE_ACCEPTED, Endpoint: at.String()})
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(c, s)
		_ = c.Close()
	}()
	_, _ = io.Copy(s, c)
}
