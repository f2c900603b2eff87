package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/source"
	"github.com/eastway/eastway/tunnel/admission"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// accept takes sessions from one listener.
func (n *Node) accept(ctx context.Context, ln transport.Listener) {
	if err := ln.Serve(ctx, n.handshake); err != nil {
		n.log.Error("listener failed, its transport is not accepted from now on", zap.Error(err))
	}
}

// nodeGate is the node as transport.Gate.
type nodeGate struct{ n *Node }

func (a nodeGate) Admit(remote net.Addr, end func()) transport.Place {
	p, victim := a.n.gate.Admit(remote, end, time.Now())
	if victim != nil {
		victim.End()
		a.n.meetHandshakes(limitHandshakes, victim.Source.String())
	}
	return place{a.n, p, remote}
}

func (a nodeGate) Overloaded(_ string, remote net.Addr) {
	a.n.meetHandshakes(limitQUICHandshakes, source.Of(remote).String())
}

func (a nodeGate) Busy(remote net.Addr) bool { return a.n.gate.Busy(remote) }

func (a nodeGate) Retrying(err error) { a.n.accepts.Failed(err) }

// place is a connection's as transport.Place.
type place struct {
	n      *Node
	at     *admission.Place
	remote net.Addr
}

func (p place) Hello()                         { p.n.gate.Step(p.at, time.Now()) }
func (p place) Proved()                        { p.n.gate.Proved(p.at, time.Now()) }
func (p place) Turn(ctx context.Context) error { return p.n.gate.Turn(ctx, p.at) }
func (p place) Yield()                         { p.n.gate.Yield(p.at) }
func (p place) Leave()                         { p.n.gate.Leave(p.at) }

func (p place) Failed(over string, err error) {
	if !p.n.gate.Lost(p.at) { // that is counted already
		p.n.refuse(over, p.remote, err)
	}
}

// refuse logs and counts a handshake that failed.
func (n *Node) refuse(over string, remote net.Addr, err error) {
	reason := n.cfg.Reason(err)
	n.metrics.Refused(cmp.Or(transport.ReasonOf(err), reason))
	err = clip.Error(err, maxRefusal)
	if reason == reasonOther { // cut off or too slow: no identity was shown, so none was refused
		n.log.Debug("tunnel connection ended in its handshake", zap.String("transport", over), zap.Stringer("remote", remote), zap.Error(err))
		return
	}
	if due := n.refusals.Note(time.Now(), reason, 1); due > 0 {
		n.log.Warn("tunnel connection refused", zap.String("reason", reason), zap.String("transport", over),
			zap.Stringer("remote", remote), zap.Uint64("times", due), zap.Error(err))
	}
}

// handshake takes an authenticated connection's Hello and puts it where it belongs.
func (n *Node) handshake(ctx context.Context, sess transport.Session) {
	name, err := n.cfg.Credentials.PeerName(sess.TLS())
	if err != nil {
		n.reject(sess, err)
		return
	}
	channel, hello, err := hearHello(ctx, sess)
	if err == nil {
		err = wire.CheckDialer(name, hello)
	}
	if err != nil {
		level := zap.DebugLevel // it has no need of the connection any more, because another one was quicker
		if (channel != nil || errors.Is(err, context.DeadlineExceeded)) && n.refusals.Note(time.Now(), "hello "+name, 1) > 0 {
			level = zap.WarnLevel
		}
		n.log.Log(level, "tunnel handshake failed", zap.String("peer", name), zap.String("transport", sess.Caps().Name), zap.Error(err))
		sess.Close("bad Hello")
		return
	}
	c := newConn(sess, hello.GetRole(), hello.GetLane(), channel)
	l, err := n.place(ctx, name, hello, sess)
	answer := n.ourHello(hello.GetRole(), string(hello.GetLink()), hello.GetLane())
	if err != nil {
		answer.Refused = refusal(err)
	}
	if werr := wire.WriteHello(channel, answer); werr != nil || err != nil || clearDeadline(channel) != nil {
		if err != nil {
			// The dialer closes once it has read the answer.
			waitDone(ctx, sess, handshakeTimeout)
		}
		sess.Close("refused")
		return
	}
	switch err := l.attach(ctx, c); {
	case err == nil:
	case n.cfg.Reason(err) != reasonOther:
		n.reject(sess, err)
	default:
		sess.Close(err.Error())
	}
}

// reject ends a connection whose handshake had succeeded.
func (n *Node) reject(sess transport.Session, err error) {
	_, remote := sess.Addrs()
	n.refuse(sess.Caps().Name, remote, err)
	sess.Close("not trusted")
}

func refusal(err error) string {
	if _, dup := errors.AsType[*duplicateError](err); dup {
		return refusedDuplicate
	}
	return strings.TrimPrefix(err.Error(), "tunnel: ")
}

// place finds, or for a new control connection makes, the link of an inbound connection.
func (n *Node) place(ctx context.Context, name string, hello *tunnelpb.Hello, sess transport.Session) (*link, error) {
	id := string(hello.GetLink())
	if links, _ := n.links(name); links != nil {
		for _, l := range links {
			if l.id == id && l.replica == hello.GetReplica() && !l.dialed {
				return l, nil
			}
		}
	}
	if hello.GetRole() != tunnelpb.Hello_ROLE_CONTROL || hello.GetExpects() != "" {
		// A link that another replica had, or this process's predecessor, is not made anew here: it would look like a
		// second link with the same replica.
		return nil, errors.New("tunnel: " + refusedNoLink)
	}
	if other := n.linkTo(name, hello.GetReplica()); other != nil && slices.Contains(hello.GetLinked(), n.cfg.Replica) {
		return nil, &duplicateError{other: other} // even if it is silent now: its streams may go on
	}
	if wait := n.newcomers.Admit(name, time.Now()); wait > 0 {
		n.meet(name, limitNewcomers, 1, zap.String("replica", hello.GetReplica()))
		return nil, fmt.Errorf("tunnel: too many replicas of peer %s connected anew, the next may in %v", name, wait.Round(time.Millisecond))
	}
	l := newLink(n, name, id, false, hello)
	if err := n.register(l); err != nil {
		return nil, err
	}
	n.log.Info("peer replica connected", append(audit(sess), zap.String("peer", name), zap.String("replica", l.replica),
		zap.String("link", shortID(id)), zap.Bool("new_address", n.fromNewAddress(name, sess)))...)
	n.wg.Go(func() {
		err := l.monitor(ctx)
		if ctx.Err() == nil {
			n.setLastError(name, err)
		}
		n.log.Info("peer replica disconnected", zap.String("peer", name), zap.String("replica", l.replica), zap.Error(err))
		l.close(err.Error())
	})
	return l, nil
}

func waitDone(ctx context.Context, sess transport.Session, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	select {
	case <-sess.Done():
	case <-ctx.Done():
	}
}

func deadline(d time.Duration) time.Time { return time.Now().Add(d) }
