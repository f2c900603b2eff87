package failover_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// restrict has b apply other rules to its peer a; the annotation of the service's export names the peers in to.
func (p *path) restrict(rules *v1alpha1.ExportRules, to ...string) {
	p.t.Helper()
	p.restrictTo(rules, &discovery.Export{To: to})
}

func (p *path) restrictTo(rules *v1alpha1.ExportRules, export *discovery.Export) {
	p.t.Helper()
	local := p.b.local
	peer := *local.Peers["a"]
	peer.Spec.Exports = rules
	local.Peers = map[string]*discovery.Peer{"a": &peer}
	svc := *local.Services.Get(echoName)
	svc.Export = export
	local.Services = local.Services.With(echoName, &svc)
	p.b.catalog.SetLocal(local)
	await(p.t, "b follows", p.b.follows)
}

// intrude opens a hostile peer's stream to b, which may not have exported the service to it.
func (p *path) intrude(requests bool) (failover.Stream, error) {
	return failover.TunnelsOf(p.a.node).Open(p.t.Context(), "b", &tunnel.Header{
		Namespace: echoName.Namespace, Service: echoName.Name, Port: servicePort, Protocol: discovery.TCP, Http: requests, TimeoutMs: 1000,
	}, nil)
}

// code is what b answers the stream; 0: it is accepted.
func code(s failover.Stream) tunnel.Code {
	<-s.Answered()
	if refused, ok := s.Outcome().(*tunnel.RefusedError); ok { //nolint:errorlint // it is not wrapped
		return refused.Code
	}
	return 0
}

// TestDeniedPeer: a peer opens streams whatever it may. A rule that denies it refuses new ones as if there were no such service, and ends open
// ones within a second: those of TCP, and kept ones of HTTP, of which no further request reaches an endpoint.
func TestDeniedPeer(t *testing.T) {
	t.Parallel()
	denied := &v1alpha1.ExportRules{Deny: []string{"*/" + echoName.Name}}
	for _, tt := range []struct {
		name  string
		rules *v1alpha1.ExportRules
		to    []string
		rule  string
	}{
		{"by the Peer", denied, nil, "exports.deny[0]"},
		{"by not being allowed", &v1alpha1.ExportRules{Allow: []string{"other/*"}}, nil, "exports.allow"},
		{"by the owner", nil, []string{"c"}, "export-to"},
	} {
		for _, requests := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP %v", tt.name, requests), func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, g *simulated) {
					pod := newPod(t, g, near, says("b"))
					p := newPath(t, spec{on: g, transport: "tcp", b: pods(pod), http: requests})
					s, err := p.intrude(requests)
					must(t, err)
					answers := bufio.NewReader(s)
					call := func() error {
						if _, err := io.WriteString(s, "GET / HTTP/1.1\r\nHost: b\r\n\r\n"); err != nil {
							return err
						}
						resp, err := http.ReadResponse(answers, nil)
						if err != nil {
							return err
						}
						_, err = io.Copy(io.Discard, resp.Body)
						return errors.Join(err, resp.Body.Close())
					}
					must(t, call())

					p.restrict(tt.rules, tt.to...)
					began := time.Now()
					if err := call(); err == nil {
						t.Error("the kept stream carries on")
					}
					if took := time.Since(began); took > time.Second {
						t.Errorf("the stream ended after %v", took)
					}
					s, err = p.intrude(requests)
					must(t, err)
					if got := code(s); got != tunnelpb.Answer_CODE_NOT_FOUND {
						t.Errorf("a new stream: %v", got)
					}
					if n := pod.requests.Load(); n != 1 {
						t.Errorf("the endpoint got %d requests", n)
					}
					await(t, "the rule is in the log", func() bool {
						all := p.b.access.All()
						last := all[len(all)-1].ContextMap()
						return last["result"] == "denied" && last["error"] == "denied by rule "+tt.rule
					})
					if !slices.ContainsFunc(p.b.proxy.Problems(), func(s string) bool { return strings.Contains(s, "'eastway authz explain'") }) {
						t.Errorf("problems: %q", p.b.proxy.Problems())
					}
					s.Reset("done")

					p.restrict(nil)
					s, err = p.intrude(requests)
					must(t, err)
					answers.Reset(s)
					must(t, call())
					s.Reset("done")
				})
			})
		}
	}
}

// TestDeniedWhileUnderWay: a rule that comes in the middle of a call ends it, at the peer and at the endpoint, and the access log says that it was
// the rule. A peer whose stream has no answer yet gets that for a service that does not exist.
func TestDeniedWhileUnderWay(t *testing.T) {
	t.Parallel()
	deny := &v1alpha1.ExportRules{Deny: []string{"*/*"}}
	for _, requests := range []bool{false, true} {
		t.Run(fmt.Sprintf("answering, HTTP %v", requests), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				ended := make(chan struct{})
				pod := newPod(t, g, near, func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
					close(ended)
				})
				p := newPath(t, spec{on: g, transport: "tcp", http: requests, b: pods(pod)})
				s, err := p.intrude(requests)
				must(t, err)
				_, err = io.WriteString(s, "GET / HTTP/1.1\r\nHost: b\r\n\r\n")
				must(t, err)
				_, err = io.ReadFull(s, make([]byte, len("HTTP/1.1")))
				must(t, err)
				p.restrict(deny)
				if _, err := io.Copy(io.Discard, s); err == nil {
					t.Error("the answer ends as if it were whole")
				}
				<-ended
				p.wantDenied(t, "a rule denies it by now")
			})
		})
	}
	t.Run("connecting", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, g *simulated) {
			p := newPath(t, spec{on: g, transport: "tcp", b: pods(newPod(t, g, near, says("b")))})
			g.net.Silence(siteAddrs["b"], appsAddr)
			s, err := p.intrude(false)
			must(t, err)
			await(t, "b connects", func() bool { return p.b.proxy.Active() > 0 })
			p.restrict(deny)
			if got := code(s); got != tunnelpb.Answer_CODE_NOT_FOUND {
				t.Errorf("answered %v", s.Outcome())
			}
			p.wantDenied(t, "denied by rule exports.deny[0]")
		})
	})
}

// wantDenied waits for the last line of b's access log.
func (p *path) wantDenied(t *testing.T, why string) {
	t.Helper()
	await(t, "the call is in the log", func() bool { return p.b.access.Len() > 0 })
	all := p.b.access.All()
	if line := all[len(all)-1].ContextMap(); line["result"] != "denied" || line["error"] != why {
		t.Errorf("in the log: %v", line)
	}
}

// A peer that is denied as a whole may call nothing, whatever its other rules say; what is not there is named.
func TestAuthorizationNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		p := newPath(t, spec{on: g, transport: "tcp", b: pods(newPod(t, g, near, says("b")))})
		for _, c := range []struct {
			peer, service, rule, missing string
			allowed                      bool
		}{
			{"a", echoName.Name, "exported", "", true},
			{"z", echoName.Name, "no-peer", "Peer z", false},
			{"a", "none", "not-exported", "Service " + echoName.Namespace + "/none", false},
		} {
			got := p.b.proxy.Authorization(c.peer, discovery.ServiceName{Namespace: echoName.Namespace, Name: c.service})
			if got.Rule != c.rule || got.Missing != c.missing || got.Allowed != c.allowed {
				t.Errorf("%+v: %+v", c, got)
			}
		}
		peer := *p.b.local.Peers["a"]
		peer.Spec.SPIFFEID = "spiffe://a.test/eastway/cluster/a"
		peer.Spec.Denied = []v1alpha1.Denied{{Serial: "1"}, {SPIFFEID: peer.Spec.SPIFFEID}}
		p.b.local.Peers = map[string]*discovery.Peer{"a": &peer}
		p.restrict(nil)
		if got := p.b.proxy.Authorization("a", echoName); got.Allowed || got.Rule != "denied[1]" || !strings.Contains(got.Reason, "SPIFFE ID") {
			t.Errorf("denied as a whole: %+v", got)
		}
	})
}

// TestDryRun: what rules would deny is served, logged and counted.
func TestDryRun(t *testing.T) {
	t.Parallel()
	for rule, export := range map[string]*discovery.Export{
		"exports.deny[0]": {}, "export-to": {To: []string{"c"}, ToDryRun: true},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				p := newPath(t, spec{on: g, transport: "tcp", b: pods(newPod(t, g, near, says("b"))), http: true})
				p.restrictTo(&v1alpha1.ExportRules{Deny: []string{"*/*"}, DryRun: true}, export)
				status, answer, _, err := p.send(p.client(false), "GET", "")
				must(t, err)
				if status != http.StatusOK || answer != "b" {
					t.Errorf("%d %q", status, answer)
				}
				if !slices.ContainsFunc(p.b.proxy.Problems(), func(s string) bool { return strings.Contains(s, "would be denied") }) {
					t.Errorf("problems: %q", p.b.proxy.Problems())
				}
				if a := p.b.proxy.Authorization("a", echoName); !a.Allowed || a.DryRun != rule || !strings.Contains(a.Reason, "would deny it") {
					t.Errorf("explained as %+v", a)
				}
			})
		})
	}
}
