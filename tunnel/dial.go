package tunnel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/tunnel/redial"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// logDown logs why there is no tunnel, the same reason only once: a peer may be away for days. It returns the reason.
func (n *Node) logDown(said, peer, addr string, pause time.Duration, err error) string {
	reason, level := n.cfg.Reason(err), zap.WarnLevel
	if reason == reasonOther {
		reason, level = plain(err), zap.InfoLevel
	}
	if reason == said {
		level = zap.DebugLevel
	}
	n.log.Log(level, "tunnel to peer is down, dialing again", zap.String("peer", peer), zap.String("address", addr),
		zap.Duration("in", pause), zap.String("error", plain(err)))
	return reason
}

// linkDialer dials one link and keeps its connections complete.
type linkDialer struct {
	n          *Node
	peer, addr string
	id         string
	link       *link // nil until the control connection stands
	results    chan dialResult
	number     uint32
	transports []*transportDialer // in the node's order
}

// transportDialer is how dialing goes over one transport.
type transportDialer struct {
	transport.Transport
	target  int // lanes to hold
	pending int
	pace    redial.Pace
	next    time.Time // not before
	err     error     // of the newest attempt
	strayed int       // attempts in a row that met another replica
	turn    int       // of the addresses at which a link without a control connection is dialed
}

type dialResult struct {
	over *transportDialer
	addr string
	sess transport.Session
	err  error
}

func newLinkDialer(n *Node, peer, addr string, pace redial.Pace) *linkDialer {
	d := &linkDialer{n: n, peer: peer, addr: addr, id: newLinkID(), results: make(chan dialResult)}
	for _, t := range n.transports {
		d.transports = append(d.transports, &transportDialer{Transport: t, target: t.Caps().Lanes, pace: pace})
	}
	return d
}

// dialLink dials over all transports at once. Whichever is first carries the control connection; the others
// become lanes. It calls linked once there is a link, and returns when that has ended. Once retired is closed, no more
// lanes are dialed. Pace is that of the address so far.
func (n *Node) dialLink(ctx context.Context, retired <-chan struct{}, peer, addr string, pace redial.Pace, linked func(*link)) error {
	ctx, cancel := context.WithCancel(ctx)
	d := newLinkDialer(n, peer, addr, pace)
	defer d.finish()
	defer cancel()
	for _, t := range d.transports {
		d.start(ctx, t)
	}
	monitored := make(chan error, 1)
	t := time.NewTimer(keepInterval)
	defer t.Stop()
	for {
		t.Reset(d.untilNext(time.Now()))
		var kick, grow <-chan struct{}
		if d.link != nil {
			kick, grow = d.link.kick, d.link.grow
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-d.results:
			if err := d.dialed(ctx, r, linked, monitored); err != nil {
				return err
			}
		case err := <-monitored:
			return err
		case <-retired:
			if d.link == nil || n.perReplica(peer) {
				return context.Canceled
			}
			d.link.retire()
			retired = nil
		case <-grow:
			d.grow()
		case <-kick:
		case <-t.C:
		}
		if err := d.keep(ctx); err != nil {
			return err
		}
	}
}

// dialed is take, and begins to watch the link with its first connection.
func (d *linkDialer) dialed(ctx context.Context, r dialResult, linked func(*link), monitored chan<- error) error {
	had := d.link != nil
	if err := d.take(ctx, r); err != nil {
		return err
	}
	if !had && d.link != nil {
		linked(d.link)
		d.link.detached(func() { monitored <- d.watch(ctx) })
	}
	return nil
}

// watch monitors the link until it has ended.
func (d *linkDialer) watch(ctx context.Context) error {
	err := d.link.monitor(ctx)
	d.link.end(err.Error()) // at once: the dialer may be waiting for a Hello
	return err
}

// untilNext is when to look again at what is missing.
func (d *linkDialer) untilNext(now time.Time) time.Duration {
	wait := keepInterval
	for _, t := range d.transports {
		if left := t.next.Sub(now); left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}

// keep dials what is missing. Its error ends the link.
func (d *linkDialer) keep(ctx context.Context) error {
	if d.link == nil {
		if err := d.allFailed(); err != nil {
			return err
		}
		d.retry(ctx)
		return nil
	}
	if d.link.drained() {
		return errDrained
	}
	d.shrink()
	d.fill(ctx)
	return nil
}

var errDrained = errors.New("tunnel: the replica went away in order")

// finish ends the link and waits for dials under way.
func (d *linkDialer) finish() {
	if l := d.link; l != nil {
		l.end("dialer has ended")
		d.n.wg.Go(l.wg.Wait) // the next link does not wait for the streams of this one to be cleared away
	}
	for _, t := range d.transports {
		for ; t.pending > 0; t.pending-- {
			if r := <-d.results; r.sess != nil {
				r.sess.Close("not needed")
			}
		}
	}
}

func (d *linkDialer) start(ctx context.Context, t *transportDialer) {
	t.pending++
	addr := d.where(t)
	d.n.wg.Go(func() {
		sess, err := d.dial(ctx, t, addr)
		d.results <- dialResult{t, addr, sess, err} // finish drains the channel at the end
	})
}

// where the next connection is dialed: where the link was found. What is there may be gone, a load balancer that was replaced, and a link
// without a control connection ends with all that its lanes carry: for that, the peer's present addresses take turns with it.
func (d *linkDialer) where(t *transportDialer) string {
	if d.link == nil || d.link.hasControl() {
		return d.addr
	}
	d.n.mu.Lock()
	defer d.n.mu.Unlock()
	all := append([]string{d.addr}, d.n.wanted[d.peer].Addresses...)
	t.turn++
	return all[t.turn%len(all)]
}

func (d *linkDialer) dial(ctx context.Context, t transport.Transport, addr string) (transport.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	cfg, err := d.n.cfg.Credentials.ClientConfig(d.peer)
	if err != nil {
		return nil, fmt.Errorf("tunnel: TLS configuration for peer %s: %w", d.peer, err)
	}
	sess, err := t.Dial(ctx, transport.Target{Peer: d.peer, Address: addr, TLS: cfg})
	if err != nil {
		d.n.handshakeFailed(err)
	}
	return sess, err
}

// handshakeFailed counts our own refusals of a peer's certificate; a peer that cannot be reached is not one.
func (n *Node) handshakeFailed(err error) {
	if reason := n.cfg.Reason(err); reason != reasonOther {
		n.metrics.Refused(reason)
	}
}

// take uses a dialed connection, or notes why there is none. Its error ends the link.
func (d *linkDialer) take(ctx context.Context, r dialResult) error {
	t := r.over
	t.pending--
	if r.err == nil && d.surplus(t) {
		r.sess.Close("not needed")
		return nil
	}
	if r.err == nil {
		r.err = d.join(ctx, r.sess, r.addr)
		if r.err != nil {
			r.sess.Close("not joined")
		}
	}
	t.err = r.err
	if r.err == nil {
		t.pace.Reset()
		t.next, t.strayed = time.Time{}, 0
		return nil
	}
	if d.endsLink(r.err) {
		return r.err
	}
	pause := t.pace.Failed(time.Now(), d.slowest())
	if errors.Is(r.err, errOtherReplica) && t.strayed < maxStrayed {
		t.strayed++
		pause = redial.Jitter(redial.Min) // a load balancer's next choice may be the right one
	}
	t.next = time.Now().Add(pause)
	switch {
	case errors.Is(r.err, errOtherReplica): // nothing that an operator could repair
	case d.link != nil:
		d.n.setLastError(d.peer, r.err)
	default:
		d.n.setFirstError(d.peer, r.err) // until all transports have failed
	}
	return nil
}

// slowest bounds the pause between attempts: a link whose lanes work without a control connection needs one soon.
func (d *linkDialer) slowest() time.Duration {
	if d.link != nil && !d.link.empty() && !d.link.hasControl() {
		return controlRedialMax
	}
	return redial.Max
}

// endsLink says whether err of a new connection means that the link has no future.
func (d *linkDialer) endsLink(err error) bool {
	var dup *duplicateError
	switch {
	case errors.As(err, &dup), errors.Is(err, errElsewhere), errors.Is(err, errNoLink), errors.Is(err, errMoving):
		return true
	case errors.Is(err, errOtherReplica):
		return d.link.failing() && d.link.empty() // its lanes, if any, still work
	default:
		return false
	}
}

// surplus: the other transport has brought the control connection meanwhile, and there are lanes enough.
func (d *linkDialer) surplus(t *transportDialer) bool {
	if d.link == nil {
		return false
	}
	lanes, hasControl := d.link.laneCounts()
	return hasControl && (lanes[t.Caps().Name] >= t.target || d.link.isDraining())
}

var (
	// errOtherReplica: the address led to another replica than the link's (a load balancer, or a restart).
	errOtherReplica = errors.New("tunnel: the address is answered by another replica now")
	// errNoLink: the replica that we have a link with knows nothing of it.
	errNoLink = errors.New("tunnel: the replica has dropped the link")
	// errElsewhere: the peer has a link with us that it prefers, and this side has not seen it yet.
	errElsewhere = errors.New("tunnel: the peer keeps another link")
	// errMoving: the peer will take this link as soon as it has heard that the one at the old address goes away.
	errMoving = errors.New("tunnel: the link at the old address is still there")
)

// join says Hello on a new connection, as control connection if there is none, else as lane.
func (d *linkDialer) join(ctx context.Context, sess transport.Session, addr string) error {
	role := tunnelpb.Hello_ROLE_CONTROL
	if d.link != nil && d.link.hasControl() {
		role = tunnelpb.Hello_ROLE_LANE
	}
	d.number++
	stop := context.AfterFunc(ctx, func() { sess.Close("dialer has ended") })
	defer stop()
	ours := d.n.ourHello(role, d.id, d.number)
	if d.link != nil {
		ours.Expects = d.link.replica
	} else {
		ours.Linked = d.n.linkedReplicas(d.peer)
	}
	channel, hello, err := sayHello(sess, ours)
	if refused, ok := errors.AsType[*helloRefusedError](err); ok {
		return d.refused(refused)
	}
	if err != nil {
		if alert := sess.Alert(); alert != nil {
			d.n.handshakeFailed(alert)
			return refusedBy(d.peer, addr, alert)
		}
		return fmt.Errorf("tunnel: %s handshake with %s: %w", sess.Caps().Name, addr, err)
	}
	if hello.GetCluster() != d.peer {
		return fmt.Errorf("%w: Hello.cluster is %q, its SVID proves %q", wire.ErrRecord, hello.GetCluster(), d.peer)
	}
	if d.link != nil && d.link.replica != hello.GetReplica() {
		return errOtherReplica
	}
	if d.link == nil {
		l := newLink(d.n, d.peer, d.id, true, hello)
		if err := d.n.register(l); err != nil {
			return err
		}
		d.link = l
		d.n.log.Info("connected to peer replica", append(audit(sess), zap.String("peer", d.peer), zap.String("replica", l.replica),
			zap.String("dialed", addr), zap.String("link", shortID(d.id)), zap.String("control", sess.Caps().Name))...)
	}
	return d.link.attach(ctx, newConn(sess, role, d.number, channel))
}

// refused translates an authenticated peer's rejection.
func (d *linkDialer) refused(r *helloRefusedError) error {
	switch {
	case r.Reason == refusedDuplicate:
		switch other := d.n.linkTo(d.peer, r.Replica); {
		case other == nil:
			return errElsewhere
		case other.isRetired():
			other.askAway(movedAway) // the peer takes another link then
			return errMoving
		default:
			return &duplicateError{other: other}
		}
	case r.Reason != refusedNoLink || d.link == nil:
		return r
	case r.Replica == d.link.replica:
		return errNoLink
	default:
		return errOtherReplica
	}
}

// allFailed is an error when no transport has brought a connection and none is being tried.
func (d *linkDialer) allFailed() error {
	var errs []error
	trust := ""
	for _, t := range d.transports {
		if t.pending > 0 {
			return nil
		}
		// Who is not trusted is not so over both transports; whatever else happened came of it.
		switch reason := d.n.cfg.Reason(t.err); {
		case reason != reasonOther && trust == "":
			trust, errs = reason, []error{t.err}
		case reason == reasonOther && trust == "":
			errs = append(errs, t.err)
		}
	}
	return errors.Join(errs...)
}

// retry dials again over a transport that has failed while another one, of which nothing is heard, is still tried.
func (d *linkDialer) retry(ctx context.Context) {
	for _, t := range d.transports {
		if t.pending == 0 && !time.Now().Before(t.next) {
			d.start(ctx, t)
		}
	}
}

// fill dials what is missing.
func (d *linkDialer) fill(ctx context.Context) {
	draining := d.link.isDraining() || d.link.isRetired()
	lanes, hasControl := d.link.laneCounts()
	for _, t := range d.transports {
		want := max(t.target-lanes[t.Caps().Name], 0)
		if draining {
			want = 0
		}
		if !hasControl {
			want++ // also while draining: open streams need it to the end
		}
		for range want - t.pending {
			if time.Now().Before(t.next) {
				break
			}
			d.start(ctx, t)
		}
	}
}

func (d *linkDialer) grow() {
	for _, t := range d.transports {
		if t.target < t.Caps().MaxLanes && t.pending == 0 {
			t.target++
		}
	}
}

func (d *linkDialer) over(c *conn) *transportDialer {
	i := slices.IndexFunc(d.transports, func(t *transportDialer) bool { return t.Caps().Name == c.sess.Caps().Name })
	return d.transports[i]
}

// shrink retires lanes whose place others have taken, and one surplus lane that was not used for a while. It closes lanes that both sides
// have retired.
func (d *linkDialer) shrink() {
	lanes, _ := d.link.laneCounts()
	for _, c := range d.link.connections() {
		if c.role != tunnelpb.Hello_ROLE_LANE {
			continue
		}
		if c.retired() {
			if c.drained() {
				c.fail("lane is no longer needed")
			}
			continue
		}
		t := d.over(c)
		if c.expiring() && lanes[t.Caps().Name] >= t.target {
			c.retire("a certificate expires") // others have taken its place
			continue
		}
		if t.target > t.Caps().Lanes && c.idle() > laneIdle {
			t.target--
			c.retire("idle")
			return
		}
	}
}
