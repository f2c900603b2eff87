package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
)

const (
	idA = "spiffe://a.test/eastway/cluster/cluster-a"
	idB = "spiffe://b.test/eastway/cluster/cluster-b"
	idC = "spiffe://c.test/eastway/cluster/cluster-c"
	idD = "spiffe://b.test/eastway/cluster/cluster-d" // a second peer of b's trust domain
)

// scene is what the cases of the table start from.
type scene struct {
	a, b, c    *authority // the clusters' own CAs
	sharedRoot *authority
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return &scene{
		a:          newAuthority(t, nil, "CA a", "a.test"),
		b:          newAuthority(t, nil, "CA b", "b.test"),
		c:          newAuthority(t, nil, "CA c", "c.test"),
		sharedRoot: newAuthority(t, nil, "shared root"),
	}
}

const (
	accepted      = ""
	notApplicable = "-"
)

// refusal is one row: what the other side presents to cluster-a, which trusts cluster-b (and c, d).
type refusal struct {
	name string
	// present nil: no certificate.
	present func(*testing.T, *scene) tls.Certificate
	// roots that cluster-a has for cluster-b; nil: b's CA.
	roots func(*scene) []*x509.Certificate
	// clock: ours is ahead by it.
	clock time.Duration
	// spoil changes the other side's configuration.
	spoil func(*tls.Config)
	only  string // transport
	// Reasons when cluster-a dials cluster-b, and when it accepts.
	dialing, accepting string
	text               string // part of the message
}

func fromB(edit func(*x509.Certificate)) func(*testing.T, *scene) tls.Certificate {
	return func(t *testing.T, s *scene) tls.Certificate { t.Helper(); return s.b.leaf(t, idB, edit) }
}

func valid(from, to time.Duration) func(*testing.T, *scene) tls.Certificate {
	return fromB(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to)
	})
}

// below presents cluster-b's ID, signed by an intermediate with these constraints below the shared root.
func below(permitted ...string) func(*testing.T, *scene) tls.Certificate {
	return func(t *testing.T, s *scene) tls.Certificate {
		t.Helper()
		return newAuthority(t, s.sharedRoot, "intermediate", permitted...).leaf(t, idB, nil)
	}
}

func shared(s *scene) []*x509.Certificate { return []*x509.Certificate{s.sharedRoot.cert} }

func both(reason string) (dialing, accepting string) { return reason, reason }

func timeRows() []refusal {
	return []refusal{
		{name: "valid", present: fromB(nil)},
		{
			name: "expired", present: valid(-2*time.Hour, -time.Hour), dialing: certs.ReasonExpired,
			accepting: certs.ReasonExpired, text: "late, 5m0s are tolerated): check its renewal",
		},
		{name: "expired within the skew", present: valid(-time.Hour, -4*time.Minute)},
		{
			name: "expired just outside the skew", present: valid(-time.Hour, -5*time.Minute-2*time.Second),
			dialing: certs.ReasonExpired, accepting: certs.ReasonExpired,
		},
		{
			name: "not yet valid", present: valid(time.Hour, 2*time.Hour), dialing: certs.ReasonNotYetValid,
			accepting: certs.ReasonNotYetValid, text: "check the clocks of both sides",
		},
		{name: "not yet valid within the skew", present: valid(4*time.Minute, time.Hour)},
		{
			name: "our clock an hour behind", present: valid(-time.Minute, 24*time.Hour), clock: -time.Hour,
			dialing: certs.ReasonNotYetValid, accepting: certs.ReasonNotYetValid, text: "not yet valid by our clock",
		},
		{
			name: "CA expired", present: fromB(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(72 * time.Hour) }),
			clock: 48 * time.Hour, dialing: certs.ReasonExpired, accepting: certs.ReasonExpired, text: `CA certificate "CN=CA b" expired`,
		},
	}
}

func identityRows() []refusal {
	signed := func(by func(*scene) *authority, id string) func(*testing.T, *scene) tls.Certificate {
		return func(t *testing.T, s *scene) tls.Certificate { t.Helper(); return by(s).leaf(t, id, nil) }
	}
	a := func(s *scene) *authority { return s.a }
	b := func(s *scene) *authority { return s.b }
	c := func(s *scene) *authority { return s.c }
	other := "spiffe://other.test/eastway/cluster/cluster-b"
	return []refusal{
		{
			name: "wrong trust domain", present: signed(b, other), dialing: certs.ReasonWrongTrustDomain,
			accepting: certs.ReasonWrongTrustDomain, text: other + `", but its ID is "` + idB,
		},
		{
			name: "wrong ID", present: signed(b, "spiffe://b.test/eastway/cluster/cluster-x"),
			dialing: certs.ReasonWrongID, accepting: certs.ReasonWrongID, text: "cluster-x",
		},
		{
			name: "ID of a workload", present: signed(b, "spiffe://b.test/ns/default/sa/x"),
			dialing: certs.ReasonWrongID, accepting: certs.ReasonWrongID,
		},
		{
			name: "stranger", present: signed(c, "spiffe://x.test/eastway/cluster/x"),
			dialing: certs.ReasonWrongTrustDomain, accepting: certs.ReasonUnknownPeer, text: "spiffe://x.test/eastway/cluster/x",
		},
		{
			name: "sibling of our own cluster", present: signed(a, idA),
			dialing: certs.ReasonWrongTrustDomain, accepting: certs.ReasonUnknownPeer,
		},
		{name: "another peer", present: signed(c, idC), dialing: certs.ReasonWrongTrustDomain, accepting: accepted},
		{name: "another peer of the same trust domain", present: signed(b, idD), dialing: certs.ReasonWrongID, accepting: accepted},
		{
			name: "another peer's CA", present: signed(c, idB),
			dialing: certs.ReasonUnknownAuthority, accepting: certs.ReasonUnknownAuthority,
		},
		{name: "CA of the same name, other key", present: func(t *testing.T, _ *scene) tls.Certificate {
			t.Helper()
			return newAuthority(t, nil, "CA b", "b.test").leaf(t, idB, nil)
		}, dialing: certs.ReasonUnknownAuthority, accepting: certs.ReasonUnknownAuthority, text: "import its current Peer manifest"},
		{name: "no certificate", dialing: notApplicable, accepting: certs.ReasonNoCertificate},
	}
}

func leafRows() []refusal {
	rows := []refusal{
		{name: "no URI", present: fromB(func(c *x509.Certificate) { c.URIs = nil })},
		{name: "two URIs", present: fromB(func(c *x509.Certificate) {
			c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "b.test", Path: "/x"})
		})},
		{name: "leaf is a CA", present: fromB(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })},
		{name: "leaf may sign certificates", present: fromB(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign })},
		{name: "no digitalSignature", present: fromB(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })},
		{name: "chain too long", present: func(t *testing.T, s *scene) tls.Certificate {
			t.Helper()
			c := s.b.leaf(t, idB, nil)
			for range 5 {
				c.Certificate = append(c.Certificate, s.b.cert.Raw)
			}
			return c
		}},
	}
	for i := range rows {
		rows[i].dialing, rows[i].accepting = both(certs.ReasonBadCertificate)
	}
	return append(rows, refusal{
		name: "for clients only", dialing: certs.ReasonBadCertificate, accepting: accepted,
		present: fromB(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
	})
}

func intermediateRows() []refusal {
	loose := func(name string, present func(*testing.T, *scene) tls.Certificate) refusal {
		return refusal{
			name: name, present: present, roots: shared, text: "URI name constraint",
			dialing: certs.ReasonUnconstrainedIntermediate, accepting: certs.ReasonUnconstrainedIntermediate,
		}
	}
	pinned := func(sub ...string) refusal {
		var pin *authority
		return refusal{
			present: func(t *testing.T, s *scene) tls.Certificate {
				t.Helper()
				pin = newAuthority(t, s.sharedRoot, "pinned")
				if sub == nil {
					return pin.leaf(t, idB, nil)
				}
				return newAuthority(t, pin, "below pinned", sub[1:]...).leaf(t, idB, nil)
			},
			roots: func(*scene) []*x509.Certificate { return []*x509.Certificate{pin.cert} },
		}
	}
	rows := []refusal{
		{name: "constrained intermediate", present: below("b.test"), roots: shared},
		loose("unconstrained foreign intermediate", below()),
		loose("intermediate for a parent domain", below("test")),
		loose("intermediate for subdomains", below(".test")),
		loose("intermediate for two trust domains", below("b.test", "c.test")),
		{
			name: "intermediate of another trust domain", present: below("c.test"), roots: shared,
			dialing: certs.ReasonWrongTrustDomain, accepting: certs.ReasonWrongTrustDomain,
		},
		{
			name: "free intermediate below a constrained one", roots: shared,
			present: func(t *testing.T, s *scene) tls.Certificate {
				t.Helper()
				return newAuthority(t, newAuthority(t, s.sharedRoot, "1", "b.test"), "2").leaf(t, idB, nil)
			},
		},
		loose("constrained intermediate below a free one", func(t *testing.T, s *scene) tls.Certificate {
			t.Helper()
			return newAuthority(t, newAuthority(t, s.sharedRoot, "1"), "2", "b.test").leaf(t, idB, nil)
		}),
	}
	ok, bad := pinned(), pinned("sub")
	ok.name, bad.name = "pinned intermediate", "unconstrained below a pinned one"
	bad.dialing, bad.accepting = both(certs.ReasonUnconstrainedIntermediate)
	return append(rows, ok, bad)
}

func protocolRows() []refusal {
	return []refusal{
		{
			name: "TLS 1.2", only: "tcp", present: fromB(nil), spoil: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			dialing: certs.ReasonRefusedByPeer, accepting: certs.ReasonTLSVersion,
		},
		{
			name: "other ALPN", present: fromB(nil), spoil: func(c *tls.Config) { c.NextProtos = []string{"h2"} },
			dialing: certs.ReasonRefusedByPeer, accepting: certs.ReasonALPN,
		},
		{
			name: "no ALPN", present: fromB(nil), spoil: func(c *tls.Config) { c.NextProtos = nil },
			dialing: certs.ReasonALPN, accepting: certs.ReasonALPN,
		},
	}
}

// TestCertificateTable runs each row over real connections, in both directions and over both transports.
func TestCertificateTable(t *testing.T) {
	t.Parallel()
	rows := timeRows()
	for _, more := range [][]refusal{identityRows(), leafRows(), intermediateRows(), protocolRows()} {
		rows = append(rows, more...)
	}
	for transport, handshake := range transports {
		for _, r := range rows {
			if r.only != "" && r.only != transport {
				continue
			}
			t.Run(transport+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				us, them := r.sides(t)
				if r.dialing != notApplicable {
					o := handshake(t, clientConfig(t, us, "cluster-b"), them)
					r.check(t, "dialing", o.client, r.dialing)
				}
				o := handshake(t, them, us.ServerConfig())
				if transport == "quic" && o.server != nil && certs.Reason(o.server) == certs.ReasonOther {
					// quic-go sends errors of crypto/tls only to the other side.
					r.check(t, "accepting, seen from the peer", o.client, certs.ReasonRefusedByPeer)
					return
				}
				r.check(t, "accepting", o.server, r.accepting)
				if r.accepting != accepted && certs.Reason(o.client) != certs.ReasonRefusedByPeer &&
					certs.Reason(o.client) != r.accepting {
					t.Errorf("the refused client sees %v", o.client)
				}
			})
		}
	}
}

// sides are cluster-a's Authenticator, and the other side with no rules of its own.
func (r *refusal) sides(t *testing.T) (*certs.Authenticator, *tls.Config) {
	t.Helper()
	s := newScene(t)
	them := &tls.Config{
		InsecureSkipVerify: true,
		ClientAuth:         tls.RequireAnyClientCert,
		NextProtos:         []string{certs.ALPN},
	}
	if r.present != nil {
		them.Certificates = []tls.Certificate{r.present(t, s)}
	}
	if r.spoil != nil {
		r.spoil(them)
	}
	roots := []*x509.Certificate{s.b.cert}
	if r.roots != nil {
		roots = r.roots(s)
	}
	us, err := certs.NewAuthenticator(certs.Config{
		Source: svidOf(t, s.a.leaf(t, idA, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(72 * time.Hour) })),
		Now:    func() time.Time { return time.Now().Add(r.clock) },
		Peers: []certs.Peer{
			testPeer(t, idB, roots...), testPeer(t, idC, s.c.cert), testPeer(t, idD, s.b.cert),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return us, them
}

func (r *refusal) check(t *testing.T, direction string, err error, want string) {
	t.Helper()
	if got := certs.Reason(err); got != want {
		t.Errorf("%s: reason %q, want %q: %v", direction, got, want, err)
	}
	if v, ok := errors.AsType[*certs.VerifyError](err); ok && !strings.Contains(v.Error(), r.text) {
		t.Errorf("%s: message lacks %q: %v", direction, r.text, err)
	}
}
