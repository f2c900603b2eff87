package tunnel

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/internal/tally"
	"github.com/eastway/eastway/tunnel/admission"
	"github.com/eastway/eastway/tunnel/internal/metrics"
	"github.com/eastway/eastway/tunnel/resolve"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// Config is this proxy's identity and what it does with streams and messages of peers.
type Config struct {
	// Cluster is this cluster's name, the one in its SVID.
	Cluster string
	// Replica names this process; empty: a random one.
	Replica string
	// Region and Zone are where this proxy runs.
	Region, Zone string
	// Version is sent to peers for their status.
	Version string
	// Listen is the IP:PORT for tunnels, on TCP and UDP alike. Empty: only dial.
	Listen string
	// Credentials authenticate both sides. Required.
	Credentials Credentials
	// Reason maps a failed handshake to a short, bounded word for the metric. Optional.
	Reason func(error) string
	// Handle is called for each stream that a peer opens, in a goroutine of its own. It must answer, and
	// returns when the stream has ended. Required unless nothing is served.
	Handle func(*Incoming)
	// Messages is called for each control connection, with the link's message channel, until ctx ends. Optional.
	Messages func(ctx context.Context, link Link, conn MessageConn) error
	// Transports are what lanes are dialed and accepted over, in the order in which errors are shown. The node closes them.
	// Empty: TCP and QUIC, except for those that DisableTCP and DisableQUIC leave out.
	Transports              []transport.Transport
	DisableTCP, DisableQUIC bool
	// Lookup finds the addresses of peers' names; nil: as the system does.
	Lookup resolve.Lookup
	// PeerMemory bounds what all replicas of one peer have sent and nothing here has read, in bytes; 0: 512 MiB.
	PeerMemory int64

	Log     *zap.Logger
	Metrics prometheus.Registerer
}

// Validate names the first field that is wrong.
func (c *Config) Validate() error {
	switch {
	case c.Cluster == "":
		return errors.New("tunnel: Config.Cluster is empty: name this cluster")
	case c.Credentials == nil:
		return errors.New("tunnel: Config.Credentials is nil: tunnels are always authenticated")
	case c.PeerMemory < 0:
		return fmt.Errorf("tunnel: Config.PeerMemory is %d: must not be negative", c.PeerMemory)
	case len(c.Transports) == 0 && c.DisableTCP && c.DisableQUIC:
		return errors.New("tunnel: Config.DisableTCP and DisableQUIC are both set: no transport is left")
	}
	if c.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			return fmt.Errorf("tunnel: Config.Listen %q is not IP:PORT: %w", c.Listen, err)
		}
	}
	return nil
}

// Node holds the tunnels of one proxy.
type Node struct {
	cfg     Config
	log     *zap.Logger
	metrics *metrics.Metrics
	buffers wire.Buffers
	wg      sync.WaitGroup
	changed notify.Signal
	gate    admission.Table
	limits  tally.Book[limitKey]
	accepts *shortage.Accepts

	newcomers admission.Newcomers
	// refusals are handshakes that failed, by reason, as the log has them.
	refusals tally.Book[string]
	// transports are those of the Config; each has a listener, in the same order, if Config.Listen is set.
	transports []transport.Transport
	listeners  []transport.Listener
	rotor      atomic.Uint32 // spreads equal choices
	names      *resolve.Names

	mu        sync.Mutex
	wanted    map[string]Peer
	peers     map[string]*peer
	goingAway bool // peers got GoAway: they open no more streams here
	draining  bool // nor does this side
}

// peer is what the node holds of one peer.
type peer struct {
	name    string
	links   []*link
	dialers map[string]context.CancelFunc // by address
	failure failure
	budget  *transport.Budget
	origins admission.Origins
}

// New prepares a node and binds its sockets, so that a busy port is an error before anything runs.
func New(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Replica == "" {
		cfg.Replica = rand.Text()[:10]
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Reason == nil {
		cfg.Reason = func(error) string { return reasonOther }
	}
	cfg.PeerMemory = cmp.Or(cfg.PeerMemory, DefaultPeerMemory)
	n := &Node{
		cfg: cfg, log: cfg.Log, changed: notify.NewSignal(),
		gate:    admission.Table{Most: descriptors.Share(admission.MaxHandshakes, admission.ReservePart)},
		accepts: shortage.NewAccepts("tunnel port", cfg.Log, cfg.Metrics),
		wanted:  make(map[string]Peer), peers: make(map[string]*peer),
	}
	n.metrics = metrics.New(cfg.Metrics, cfg.Cluster, load{n})
	n.names = resolve.New(cfg.Lookup, n.changed.Notify)
	n.transports = cfg.Transports
	if len(n.transports) == 0 {
		n.transports = defaultTransports(cfg)
	}
	if err := n.bind(ctx); err != nil {
		n.closeTransports()
		return nil, err
	}
	return n, nil
}

// Replica is this process's name among its cluster's.
func (n *Node) Replica() string { return n.cfg.Replica }

// Addr is where tunnels are accepted; nil when only dialing.
func (n *Node) Addr() net.Addr {
	if len(n.listeners) == 0 {
		return nil
	}
	return n.listeners[0].Addr()
}

// SetPeers says which peers there are. Links to peers that are gone, or that no longer pass authentication, are closed.
func (n *Node) SetPeers(peers []Peer) {
	n.mu.Lock()
	n.wanted = make(map[string]Peer, len(peers))
	for _, p := range peers {
		p.Addresses = slices.Clone(p.Addresses)
		n.wanted[p.Name] = p
	}
	n.mu.Unlock()
	n.changed.Notify()
}

// Run accepts and dials until ctx ends, and returns when every connection and goroutine has ended.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, ln := range n.listeners {
		n.wg.Go(func() { n.accept(ctx, ln) })
	}
	n.wg.Go(func() { n.names.Run(ctx) })
	for ctx.Err() == nil {
		n.reconcile(ctx)
		select {
		case <-ctx.Done():
		case <-n.changed:
		}
	}
	n.closeListeners()
	for _, l := range n.allLinks() {
		l.close("shutting down")
	}
	n.wg.Wait()
	n.closeTransports()
	return nil
}

// reconcile starts and stops dialers, and closes links that are no longer wanted.
func (n *Node) reconcile(ctx context.Context) {
	n.mu.Lock()
	var removed, keep []*link
	for name, p := range n.peers {
		want, ok := n.wanted[name]
		addresses := n.names.Each(want.Addresses)
		for addr, cancel := range p.dialers {
			if !slices.Contains(addresses, addr) {
				cancel()
				delete(p.dialers, addr)
			}
		}
		if !ok {
			removed = append(removed, p.links...)
			if len(p.links) == 0 {
				delete(n.peers, name)
			}
			continue
		}
		keep = append(keep, p.links...)
	}
	for name, want := range n.wanted {
		p := n.peerLocked(name)
		for _, addr := range n.names.Each(want.Addresses) {
			if _, ok := p.dialers[addr]; ok {
				continue
			}
			dctx, cancel := context.WithCancel(ctx)
			p.dialers[addr] = cancel
			n.wg.Go(func() { n.dialAddress(ctx, dctx, name, addr) })
		}
	}
	n.mu.Unlock()
	for _, l := range removed {
		n.log.Info("peer was removed, tunnel closed", zap.String("peer", l.peer), zap.String("replica", l.replica))
		n.wg.Go(func() { l.close("the peer was removed") })
	}
	for _, l := range keep { // without the lock, which every call needs
		if err := distrust(l); err != nil {
			n.log.Warn("peer is no longer trusted, tunnel closed", zap.String("peer", l.peer), zap.String("replica", l.replica), zap.Error(err))
			n.wg.Go(func() { revoke(l, err) })
		}
	}
}

func (n *Node) peerLocked(name string) *peer {
	p := n.peers[name]
	if p == nil {
		p = &peer{name: name, dialers: make(map[string]context.CancelFunc), budget: transport.NewBudget(n.cfg.PeerMemory)}
		n.peers[name] = p
	}
	return p
}

// revoke closes a link that err describes as no longer trusted. The peer does not learn more.
func revoke(l *link, err error) {
	l.mu.Lock()
	l.life.revoked = err
	l.mu.Unlock()
	l.close("peer is no longer trusted")
}

// distrust is why a live link does not pass the present trust; nil if it does.
func distrust(l *link) error {
	for _, c := range l.connections() {
		if err := l.verify(c); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) allLinks() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*link
	for _, p := range n.peers {
		out = append(out, p.links...)
	}
	return out
}

func (n *Node) links(peer string) ([]*link, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, known := n.wanted[peer]
	p := n.peers[peer]
	if p == nil {
		return nil, known
	}
	return slices.Clone(p.links), known
}

func (n *Node) linkTo(peer, replica string) *link {
	links, _ := n.links(peer)
	for _, l := range links {
		if l.replica == replica && !l.isDraining() {
			return l
		}
	}
	return nil
}

// errDraining: this process goes away.
var errDraining = errors.New("tunnel: this replica is shutting down")

// errDuplicate: the replica is linked already; other is that link.
type duplicateError struct{ other *link }

func (e *duplicateError) Error() string {
	return "replica " + e.other.replica + " is linked already"
}

// register adds a link. Of two links with the same replica, the one that the smaller name dialed stays: the
// larger side drains its own.
func (n *Node) register(l *link) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.wanted[l.peer]; !ok {
		return ErrUnknownPeer
	}
	if n.goingAway && !l.dialed {
		return errDraining
	}
	p := n.peerLocked(l.peer)
	if len(p.links) >= maxLinksPerPeer {
		return fmt.Errorf("tunnel: peer %s has %d links, no more are taken", l.peer, len(p.links))
	}
	weAreSmaller := n.cfg.Cluster+"/"+n.cfg.Replica < l.peer+"/"+l.replica
	for _, o := range p.links {
		if o.replica != l.replica || o.isDraining() {
			continue
		}
		if o.isRetired() {
			o.replace(movedAway)
			continue
		}
		if o.failing() {
			// Its other side has most likely given it up already, or it would not have dialed again.
			if o.carries() {
				o.replace("replaced by a new link") // that is noticed soon
			} else {
				n.wg.Go(func() { o.close("replaced by a new link") })
			}
			continue
		}
		keepOther := o.dialed == l.dialed || o.dialed == weAreSmaller
		if keepOther {
			return &duplicateError{other: o}
		}
		if o.dialed {
			o.replace("duplicate")
		}
	}
	if n.goingAway {
		l.askAway(shuttingDown)
	}
	p.links = append(p.links, l)
	p.failure = failure{}
	return nil
}

func (n *Node) unregister(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[l.peer]
	if p == nil {
		return
	}
	p.links = slices.DeleteFunc(p.links, func(o *link) bool { return o == l })
	if _, ok := n.wanted[l.peer]; !ok && len(p.links) == 0 {
		delete(n.peers, l.peer)
	}
}

// failure is why the newest attempt to connect failed: the error, and its Config.Reason if trust was missing.
type failure struct{ lastError, reason string }

func (n *Node) failureOf(err error) failure {
	reason := n.cfg.Reason(err)
	if reason == reasonOther {
		reason = ""
	}
	return failure{lastError: plain(err), reason: reason}
}

func (n *Node) setLastError(peer string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[peer]; p != nil && err != nil {
		p.failure = n.failureOf(err)
	}
}

// setFirstError is setLastError where nothing is said yet.
func (n *Node) setFirstError(peer string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[peer]; p != nil && p.failure == (failure{}) {
		p.failure = n.failureOf(err)
	}
}

func (n *Node) handle(in *Incoming) {
	n.metrics.Opened(in.Peer(), "in")
	if n.cfg.Handle == nil {
		_ = in.Refuse(tunnelpb.Answer_CODE_NOT_FOUND, "nothing is served here", 0)
		return
	}
	n.cfg.Handle(in)
}

func (n *Node) ourHello(role tunnelpb.Hello_Role, link string, number uint32) *tunnelpb.Hello {
	return &tunnelpb.Hello{
		Cluster: n.cfg.Cluster, Replica: n.cfg.Replica, Version: n.cfg.Version, Role: role,
		Locality: &tunnelpb.Locality{Region: n.cfg.Region, Zone: n.cfg.Zone}, Link: []byte(link), Lane: number,
		Features: wire.Features(),
	}
}

// peerNames are the wanted peers, sorted.
func (n *Node) peerNames() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.wanted))
}

func newLinkID() string {
	var b [wire.LinkIDSize]byte
	_, _ = rand.Read(b[:]) // never fails, crypto/rand
	return string(b[:])
}

func shortID(id string) string { return hex.EncodeToString([]byte(id))[:8] }
