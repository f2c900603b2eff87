package takeover

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/eastway/eastway/certs"
)

// node is an agent's certificate; the zero value is none yet.
type node struct {
	ca *certs.CA

	mu   sync.Mutex
	svid *x509svid.SVID
}

func (n *node) GetX509SVID() (*x509svid.SVID, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.svid == nil {
		return nil, errors.New("there is no certificate yet")
	}
	return n.svid, nil
}

func (n *node) Bundle() *x509bundle.Bundle { return n.ca.Bundle() }

// renew gets another certificate.
func (n *node) renew(t *testing.T, ca *certs.CA) *x509svid.SVID {
	t.Helper()
	svid, err := ca.IssueNode(0)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.svid = svid
	return svid
}

func (n *node) credentials(t *testing.T) *Credentials {
	t.Helper()
	config, err := certs.NodeClientConfig(n, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Credentials{TLS: config, Missing: func() error {
		_, err := n.GetX509SVID()
		return err
	}}
}

func testCA(t *testing.T, td string) *certs.CA {
	t.Helper()
	ca, err := certs.NewCA(certs.Options{TrustDomain: spiffeid.RequireTrustDomainFromString(td)})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// realProxy has a health listener, which answers /listeners by code, and one for node agents.
type realProxy struct {
	Proxy

	agents       *httptest.Server
	code         int
	plain        atomic.Int32 // requests at the health listener
	mu           sync.Mutex
	proved       string // serial number of the last client's certificate
	certificates int    // how many different ones
}

func startProxy(t *testing.T, ca *certs.CA, cluster string, code int) *realProxy {
	t.Helper()
	source, err := certs.NewCASource(certs.CASourceConfig{CA: ca, Name: cluster})
	if err != nil {
		t.Fatal(err)
	}
	p := &realProxy{code: code}
	const body = `{"ready":true,"listeners":[{"port":20000,"service":"default/%s"}]}`
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.plain.Add(1)
		w.WriteHeader(p.code)
		fmt.Fprintf(w, body, "plain")
	}))
	t.Cleanup(plain.Close)
	p.agents = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if serial := r.TLS.PeerCertificates[0].SerialNumber.String(); serial != p.proved {
			p.proved = serial
			p.certificates++
		}
		if r.URL.Path == "/listeners" {
			fmt.Fprintf(w, body, "proved")
		}
	}))
	// Not StartTLS, which has a certificate of its own.
	p.agents.Listener = tls.NewListener(p.agents.Listener, certs.NodeServerConfig(source, nil))
	p.agents.Start()
	t.Cleanup(p.agents.Close)
	address := netip.MustParseAddrPort(plain.Listener.Addr().String())
	p.Proxy = Proxy{
		Address: address.Addr(), Health: address.Port(), Agents: netip.MustParseAddrPort(p.agents.Listener.Addr().String()).Port(),
	}
	return p
}

// Where an agent reads a proxy's services, whichever of the two is of the release before, and what it says when it cannot.
func TestProbesProveThemselves(t *testing.T) {
	t.Parallel()
	own, other := testCA(t, "a.test"), testCA(t, "a.test")
	tests := map[string]struct {
		proxy   *certs.CA // its own
		cluster string
		port    bool // the proxies' Service has the port for node agents
		code    int  // at its health listener
		node    *certs.CA
		want    string // the service, or the error's words
	}{
		"both are new":                 {own, "a", true, http.StatusNotFound, own, "default/proved"},
		"both are new, and it tells":   {own, "a", true, http.StatusOK, own, "default/proved"},
		"an old proxy":                 {own, "a", false, http.StatusOK, own, "default/plain"},
		"no certificate yet":           {own, "a", true, http.StatusOK, nil, "default/plain"},
		"none, and the proxy is new":   {own, "a", true, http.StatusNotFound, nil, "and there is no certificate yet"},
		"no port in the Service":       {own, "a", false, http.StatusNotFound, own, "has no port agents for this one"},
		"a proxy of another CA":        {other, "a", true, http.StatusOK, own, "leads to no root of this cluster"},
		"another cluster's proxy":      {own, "b", true, http.StatusOK, own, "cluster/b"},
		"the proxy does not accept it": {own, "a", true, http.StatusOK, other, "its log says why"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, tt.proxy, tt.cluster, tt.code)
			if !tt.port {
				p.Agents = 0
			}
			n := &node{ca: own}
			if tt.node != nil {
				n.renew(t, tt.node)
			}
			h := newHTTPProber(nil, n.credentials(t))
			defer h.close()
			report, err := h.probe(t.Context(), &p.Proxy, nil)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			} else if report.Listeners[20000] != tt.want {
				t.Errorf("it read %v, want %q", report.Listeners, tt.want)
			}
			if proves := tt.port && tt.node != nil; proves == (p.plain.Load() > 0) {
				t.Errorf("%d requests where any client is answered", p.plain.Load())
			}
		})
	}
	t.Run("none is configured", func(t *testing.T) {
		t.Parallel()
		p := startProxy(t, own, "a", http.StatusNotFound)
		h := newHTTPProber(nil, nil)
		defer h.close()
		if _, err := h.probe(t.Context(), &p.Proxy, nil); err == nil || !strings.Contains(err.Error(), "--svid") {
			t.Errorf("%v", err)
		}
	})
}

// The certificate comes, and is renewed, while the agent runs; each is used from the next connection on, also to see whether the proxy is
// ready.
func TestCredentialsAreFollowed(t *testing.T) {
	t.Parallel()
	ca := testCA(t, "a.test")
	p, n := startProxy(t, ca, "a", http.StatusOK), &node{ca: ca}
	h := newHTTPProber(nil, n.credentials(t))
	defer h.close()
	probe := func(last *Report) *Report {
		t.Helper()
		report, err := h.probe(t.Context(), &p.Proxy, last)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	last := probe(nil)
	if last.Listeners[20000] != "default/plain" {
		t.Errorf("without a certificate: %v", last.Listeners)
	}
	for i := range 2 {
		svid := n.renew(t, ca)
		p.agents.CloseClientConnections()
		last.rest = time.Time{}
		if last = probe(last); last.Listeners[20000] != "default/proved" {
			t.Errorf("%v", last.Listeners)
		}
		last.rest = time.Now().Add(time.Hour)
		probe(last)
		p.mu.Lock()
		if p.proved != svid.Certificates[0].SerialNumber.String() || p.certificates != i+1 {
			t.Errorf("%d certificates, the last is %s", p.certificates, p.proved)
		}
		p.mu.Unlock()
	}
	if p.plain.Load() != 1 {
		t.Errorf("%d requests where any client is answered", p.plain.Load())
	}
}

// Pods of the release before are in slices of their own, without the port that they do not have.
func TestProxiesWithAndWithoutTheListener(t *testing.T) {
	t.Parallel()
	upgraded := slice(15020, endpoint("10.0.0.1", "", "", "new"))
	name, port := agentsPortName, int32(15024)
	upgraded.Ports = append(upgraded.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port})
	got := proxiesOf([]*discoveryv1.EndpointSlice{upgraded, slice(15020, endpoint("10.0.0.2", "", "", "old"))}, 9, nil)
	want := []Proxy{
		{Address: addr("10.0.0.1"), Health: 15020, Agents: 15024, Pod: "new"}, {Address: addr("10.0.0.2"), Health: 15020, Pod: "old"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// An agent without a certificate says so, and goes on.
func TestUnproven(t *testing.T) {
	t.Parallel()
	missing := errors.New("there is no certificate yet")
	a, err := New(t.Context(), Config{
		Source: newFakeSource(), Tables: &fakeTables{}, Credentials: &Credentials{TLS: &tls.Config{}, Missing: func() error { return missing }},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Status().Unproven; got != missing.Error() {
		t.Errorf("%q", got)
	}
	missing = nil
	if got := a.Status().Unproven; got != "" {
		t.Errorf("%q", got)
	}
	if err := (&Config{Source: newFakeSource(), Tables: &fakeTables{}, Credentials: &Credentials{}}).Validate(); err == nil {
		t.Error("credentials of nothing")
	}
}
