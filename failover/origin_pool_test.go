package failover

import (
	"crypto/tls"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/originate/origintest"
)

// change changes the service while the proxy runs.
func (w *world) change(f func(s *discovery.Service)) {
	w.t.Helper()
	f(w.service)
	s := w.snapshot()
	s.Revision = w.proxy.Revision() + 1
	w.catalog.set(s)
	w.eventually("followed", func() bool { return w.proxy.Revision() == s.Revision })
}

// A request that is to get TLS waits for its own connection: one without TLS, or with what was required before, is not handed over.
func TestOriginateQueue(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	secure := &discovery.External{Hosts: []string{mydb}, TLS: &discovery.TLS{
		Service: echoName, Mode: v1alpha1.TLSSimple, Host: mydb, CAFile: ca.File(t),
	}}
	other := &discovery.External{Hosts: []string{mydb}, TLS: &discovery.TLS{
		Service: echoName, Mode: v1alpha1.TLSSimple, Host: mydb, Names: []string{"other.test"}, CAFile: ca.File(t),
	}}
	var plain *tls.Config
	trusted := presents(ca.Issue(t, time.Now().Add(time.Hour), mydb))
	for name, c := range map[string]struct {
		serves        *tls.Config
		before, after *discovery.External
	}{
		"TLS from now on":          {plain, nil, secure},
		"no TLS any more":          {trusted, secure, nil},
		"another name is expected": {trusted, secure, other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, order, release := waiting(t, few(1, 9), c.serves, func(w *world, _ *Config) { w.service.External = c.before })
			w.change(func(s *discovery.Service) { s.External = c.after })
			var wg sync.WaitGroup
			for _, tr := range w.transports() {
				wg.Go(func() {
					if got, _ := w.over(tr, http.MethodPost, "/secret", strings.NewReader("x")); strings.HasPrefix(got, "200") {
						t.Errorf("answered %s", got)
					}
				})
			}
			w.eventually("they wait", func() bool { return w.pendingNow() == 2 })
			release()
			wg.Wait()
			if got := strings.Join(*order, " "); got != "/first" {
				t.Errorf("the endpoint got %s", got)
			}
		})
	}
}

// Kept connections do not serve requests that are to get other TLS.
func TestOriginateKeptBefore(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	var seen most
	w := newWorld(t, overHTTP, outside(ca), policy(few(1, 0)),
		seen.endpointsOf(1, 9, presents(ca.Issue(t, time.Now().Add(time.Hour), mydb)), says("ok")))
	for version, tr := range w.transports() {
		if got, _ := w.over(tr, http.MethodPost, "/", strings.NewReader("x")); got != "200 ok" {
			t.Fatalf("HTTP/%s: %s", version, got)
		}
		w.change(func(s *discovery.Service) {
			changed := *s.External.TLS
			changed.Names = []string{"other.test"}
			s.External = &discovery.External{Hosts: []string{mydb}, TLS: &changed}
		})
		if got, _ := w.over(tr, http.MethodPost, "/", strings.NewReader("x")); strings.HasPrefix(got, "200") {
			t.Errorf("HTTP/%s: %s", version, got)
		}
		w.change(func(s *discovery.Service) {
			changed := *s.External.TLS
			changed.Names = nil
			s.External = &discovery.External{Hosts: []string{mydb}, TLS: &changed}
		})
	}
	w.eventually("none is left", func() bool { return seen.now.Load() == 0 })
}
