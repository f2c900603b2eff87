package tunnel

import (
	"crypto/tls"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TestAddressChanges: a stream that is open goes on when its peer is dialed at another address, and so do calls while
// that does not answer; once it does, the link there replaces the old one.
func TestAddressChanges(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p := newPair(t, withTransport(transport), withHandler(echo))
		p.awaitUsable(t)
		old := onlyLink(t, p.a)
		s := p.open(t)
		<-s.Answered()
		echoed := func(s *Stream, text string) {
			t.Helper()
			if _, err := s.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(s, got); err != nil || string(got) != text {
				t.Fatalf("%q, %v", got, err)
			}
		}
		echoed(s, "before")

		p.a.SetPeers([]Peer{{Name: "b", Addresses: []string{deadAddress(t)}}})
		await(t, "the link is retired", old.isRetired)
		echoed(s, "meanwhile")
		other := p.open(t)
		<-other.Answered()
		echoed(other, "another stream")

		p.a.SetPeers([]Peer{{Name: "b", Addresses: []string{p.b.Addr().String()}}})
		await(t, "there is another link", func() bool {
			one := p.open(t)
			echoed(one, "at any time")
			one.Reset("that was all")
			return p.a.linkTo("b", p.b.Replica()) != old && p.a.hasUsable("b")
		})
		echoed(s, "after")
		for _, one := range []*Stream{s, other} {
			if err := one.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(one); err != nil || len(rest) > 0 {
				t.Errorf("%q, %v", rest, err)
			}
		}
		await(t, "the old link has ended", func() bool { return len(p.a.allLinks()) == 1 && len(p.b.allLinks()) == 1 })
		<-old.gone
	})
}

// TestRetiredPeerRemoved: what is carried ends with the trust, also at an address that was the peer's before.
func TestRetiredPeerRemoved(t *testing.T) {
	t.Parallel()
	p := newPair(t, withTransport("tcp"))
	p.awaitUsable(t)
	old := onlyLink(t, p.a)
	p.a.SetPeers([]Peer{{Name: "b", Addresses: []string{deadAddress(t)}}})
	await(t, "the link is retired", old.isRetired)
	p.a.SetPeers(nil)
	<-old.gone
}

// TestReplacedTrust: a tunnel ends when what the peer has shown leads to none of the roots in its new trust bundle.
func TestReplacedTrust(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		ca, cb := configs(t, withTransport(transport))
		p := &pair{a: startNode(t, ca), b: startNode(t, cb)}
		peers := []Peer{{Name: "b", Addresses: []string{p.b.Addr().String()}}}
		p.b.SetPeers([]Peer{{Name: "a"}})
		p.a.SetPeers(peers)
		p.awaitUsable(t)
		old := onlyLink(t, p.a)
		another := certstest.New(t, "b")["b"].Peer // the same ID, another CA
		if err := ca.Credentials.(*certs.Authenticator).SetPeers([]certs.Peer{another}); err != nil {
			t.Fatal(err)
		}
		p.a.SetPeers(peers)
		<-old.gone
		await(t, "its CA is refused", func() bool { return p.a.Status()[0].Reason == certs.ReasonUnknownAuthority })
	})
}

// TestDeniedCertificate: a tunnel ends when a certificate that it stands on is denied, and status says why.
func TestDeniedCertificate(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		world := certstest.New(t, "a", "b")
		ca, cb := configs(t, withTransport(transport))
		ca.Credentials, cb.Credentials = world["a"].Auth, world["b"].Auth
		p := &pair{a: startNode(t, ca), b: startNode(t, cb)}
		peers := []Peer{{Name: "b", Addresses: []string{p.b.Addr().String()}}}
		p.b.SetPeers([]Peer{{Name: "a"}})
		p.a.SetPeers(peers)
		p.awaitUsable(t)
		old := onlyLink(t, p.b)
		denied := world["a"].Peer
		denied.DeniedSerials = []*big.Int{world["a"].Serial}
		if err := world["b"].Auth.SetPeers([]certs.Peer{denied}); err != nil {
			t.Fatal(err)
		}
		p.b.SetPeers([]Peer{{Name: "a"}})
		<-old.gone
		await(t, "status of the accepting side says why", func() bool {
			st := p.b.Status()[0]
			return st.Reason == certs.ReasonDenied && len(st.Links) == 0
		})
		await(t, "the dialing side is refused", func() bool { return len(p.a.allLinks()) == 0 })
	})
}

// deadAddress is one at which nothing listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// revoking is trust that is replaced as soon as it has named a peer.
type revoking struct {
	*certs.Authenticator
	once    sync.Once
	another certs.Peer
}

func (r *revoking) PeerName(cs tls.ConnectionState) (string, error) {
	name, err := r.Authenticator.PeerName(cs)
	r.once.Do(func() { err = errors.Join(err, r.SetPeers([]certs.Peer{r.another})) })
	return name, err
}

// TestTrustReplacedInHandshake: a peer that is trusted when its handshake begins, and not when it ends, has no tunnel.
func TestTrustReplacedInHandshake(t *testing.T) {
	t.Parallel()
	ca, cb := configs(t)
	core, logs := observer.New(zap.WarnLevel)
	cb.Log = zap.New(core)
	cb.Credentials = &revoking{Authenticator: cb.Credentials.(*certs.Authenticator), another: certstest.New(t, "a")["a"].Peer}
	b := startNode(t, cb)
	b.SetPeers([]Peer{{Name: "a"}})
	sess := dialRaw(t, ca, b)
	hello := &tunnelpb.Hello{Cluster: "a", Replica: "r", Role: tunnelpb.Hello_ROLE_CONTROL, Link: []byte("0123456789abcdef")}
	_, _, err := sayHello(sess, hello) // b closes the connection behind its answer, which may be cut off by that
	<-sess.Done()
	if logs.FilterMessage("tunnel connection refused").Len() != 1 {
		t.Errorf("b's log has %v; the answer to Hello: %v", logs.All(), err)
	}
	if b.State("a").Usable {
		t.Error("the tunnel can be used")
	}
}
