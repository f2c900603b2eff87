package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/status"
)

// cluster has a CA, and a proxy.
type cluster struct {
	ca    *certs.CA
	proxy *certs.CASource
}

func newCluster(t *testing.T, name string) cluster {
	t.Helper()
	ca, err := certs.NewCA(certs.Options{TrustDomain: spiffeid.RequireTrustDomainFromString(name + ".test")})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := certs.NewCASource(certs.CASourceConfig{CA: ca, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return cluster{ca, proxy}
}

func must(t *testing.T) func(*x509svid.SVID, error) *tls.Certificate {
	return func(s *x509svid.SVID, err error) *tls.Certificate {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		c := &tls.Certificate{PrivateKey: s.PrivateKey}
		for _, part := range s.Certificates {
			c.Certificate = append(c.Certificate, part.Raw)
		}
		return c
	}
}

// startAgents serves a proxy's listener for node agents until the test ends.
func startAgents(t *testing.T, cfg Config, proxy certs.Own) *Agents {
	t.Helper()
	cfg.Address = "127.0.0.1:0"
	cfg.Listeners = &listenersOf{all: []status.Listener{{Address: netip.MustParseAddrPort("[::]:20000"), Service: "default/shop"}}}
	ctx, cancel := context.WithCancel(t.Context())
	server, err := ListenAgents(ctx, cfg, certs.NodeServerConfig(proxy, nil))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server
}

// answered is what a client got.
type answered struct {
	code       int
	etag, body string
}

// agentGet makes a request with a certificate, nil for none, on a connection of its own.
func agentGet(t *testing.T, s *Agents, cert *tls.Certificate, path, etag string) (answered, error) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.Addr().String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header.Get("ETag"), strings.TrimSpace(string(body))}, nil
}

// Which clients learn what services there are: node agents of the cluster, and no other. What is refused is counted, logged once for
// each reason, and shown.
func TestAgentsProveThemselves(t *testing.T) {
	t.Parallel()
	a, b := newCluster(t, "a"), newCluster(t, "b")
	twin := newCluster(t, "a") // another CA of the same trust domain
	core, logs := observer.New(zap.WarnLevel)
	reg := prometheus.NewRegistry()
	server := startAgents(t, Config{Logger: zap.New(core), Registerer: reg, Gatherer: reg}, a.proxy)
	const want = `{"ready":true,"listeners":[{"port":20000,"service":"default/shop"}]}`
	// The proxy's own CA, an hour ago.
	late, err := certs.ParseCA(secretOf(t, a.ca), certs.Options{Now: func() time.Time { return time.Now().Add(-certs.ClockSkew - time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cert   *tls.Certificate
		reason string
	}{
		"the right one":        {must(t)(a.ca.IssueNode(0)), ""},
		"no certificate":       {nil, certs.ReasonNoCertificate},
		"a proxy's":            {must(t)(a.ca.Issue("a", 0)), certs.ReasonWrongID},
		"a peer's":             {must(t)(b.ca.Issue("b", 0)), certs.ReasonWrongTrustDomain},
		"a node of a peer":     {must(t)(b.ca.IssueNode(0)), certs.ReasonWrongTrustDomain},
		"a node of another CA": {must(t)(twin.ca.IssueNode(0)), certs.ReasonUnknownAuthority},
		"expired":              {must(t)(late.IssueNode(time.Minute)), certs.ReasonExpired},
	}
	reasons := map[string]float64{}
	for name, tt := range tests {
		for range 2 {
			got, err := agentGet(t, server, tt.cert, PathListeners, "")
			if (err == nil) != (tt.reason == "") || err == nil && (got.code != http.StatusOK || got.body != want) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			if tt.reason != "" {
				reasons[tt.reason]++
			}
		}
	}
	for reason, n := range reasons {
		if got := testutil.ToFloat64(server.refusals.metric.WithLabelValues(reason)); got != n {
			t.Errorf("%s: %v refused, want %v", reason, got, n)
		}
		if !strings.Contains(strings.Join(server.Problems(), "\n"), "listener for node agents: "+reason) {
			t.Errorf("status shows no %s: %q", reason, server.Problems())
		}
		found := logs.Filter(func(e observer.LoggedEntry) bool { return e.ContextMap()["reason"] == reason }).All()
		if len(found) != 1 || found[0].ContextMap()["remote"] == "" || found[0].ContextMap()["remedy"] == "" {
			t.Errorf("%s: logged %v", reason, found)
		}
	}
	if logs.Len() != len(reasons) {
		t.Errorf("logged %v", logs.All())
	}
}

func secretOf(t *testing.T, ca *certs.CA) certs.Secret {
	t.Helper()
	s, err := ca.Secret()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What node agents get, and what they do not.
func TestAgentsGetWhatTheyNeed(t *testing.T) {
	t.Parallel()
	a := newCluster(t, "a")
	notYet := errors.New("not yet")
	server := startAgents(t, Config{
		Gatherer: prometheus.NewRegistry(), Status: func() Status { return Status{Cluster: "secret"} },
		Checks: []Check{{Name: "proxy", Ready: func() error { return notYet }}},
	}, a.proxy)
	cert := must(t)(a.ca.IssueNode(0))
	for path, code := range map[string]int{
		PathListeners: http.StatusOK, PathReadyz: http.StatusServiceUnavailable, PathHealthz: http.StatusNotFound,
		PathMetrics: http.StatusNotFound, PathStatus: http.StatusNotFound, "/debug/pprof/": http.StatusNotFound,
	} {
		got, err := agentGet(t, server, cert, path, "")
		if err != nil || got.code != code || strings.Contains(got.body, "secret") {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	first, err := agentGet(t, server, cert, PathListeners, "")
	if err != nil || first.body != `{"ready":false,"listeners":[{"port":20000,"service":"default/shop"}]}` {
		t.Fatalf("%v, %v", first, err)
	}
	if got, err := agentGet(t, server, cert, PathListeners, first.etag); err != nil || got.code != http.StatusNotModified {
		t.Errorf("the same again: %v, %v", got, err)
	}
	notYet = nil
	if got, err := agentGet(t, server, cert, PathListeners, first.etag); err != nil || got.code != http.StatusOK {
		t.Errorf("ready by now: %v, %v", got, err)
	}
}

// Clients that know the server from before prove themselves all the same: no session is resumed.
func TestAgentsResumeNothing(t *testing.T) {
	t.Parallel()
	a := newCluster(t, "a")
	server := startAgents(t, Config{}, a.proxy)
	client := &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{*must(t)(a.ca.IssueNode(0))}, NextProtos: []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(8), ServerName: "proxy", MinVersion: tls.VersionTLS13,
	}
	for range 2 {
		c, err := tls.Dial("tcp", server.Addr().String(), client)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 200") {
			t.Fatalf("%q, %v", all, err)
		}
		if c.ConnectionState().DidResume {
			t.Error("resumed")
		}
		_ = c.Close()
	}
	client.Certificates = nil
	c, err := tls.Dial("tcp", server.Addr().String(), client)
	if err == nil {
		defer c.Close()
		if _, err = c.Read(make([]byte, 1)); err == nil {
			t.Error("a client without its certificate is let in")
		}
	}
}

// On the listener for probes no client gets them, but for agents of the release before, if that is allowed.
func TestHealthTellsNoServices(t *testing.T) {
	t.Parallel()
	source := &listenersOf{all: []status.Listener{{Address: netip.MustParseAddrPort("[::]:20000"), Service: "kube-system/dns"}}}
	for allowed, code := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		server := start(t, Config{HealthOnly: true, HealthListeners: allowed, Listeners: source})
		got, _, body := request(t, server, http.MethodGet, PathListeners, "")
		if got != code || strings.Contains(body, "kube-system") != allowed || strings.Contains(body, "--agents") == allowed {
			t.Errorf("allowed %t: %d, %s", allowed, got, body)
		}
	}
	server := start(t, Config{Listeners: source})
	if code, _, _ := request(t, server, http.MethodGet, PathListeners, ""); code != http.StatusOK {
		t.Errorf("the admin listener: %d", code)
	}
}
