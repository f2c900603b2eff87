package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/tally"
)

// ExchangeConfig configures an Exchange.
type ExchangeConfig struct {
	// Cluster is the own name, as peers know it from its certificate. Required.
	Cluster string
	// Catalog holds the exports that are sent, and takes those that are received. Required.
	Catalog *Catalog
	// PeerStates returns how peers are connected, sorted by name, for the controller; nil: nothing is sent.
	PeerStates func() []PeerConnectivity
	// Epoch distinguishes this run of the process from earlier ones; 0 means the time of NewExchange, in ns since 1970.
	Epoch uint64
	// Log may be nil.
	Log *zap.Logger
	// Registerer of metrics may be nil.
	Registerer prometheus.Registerer
}

// Validate names the first field that is wrong.
func (c *ExchangeConfig) Validate() error {
	switch {
	case c.Cluster == "":
		return errors.New("discovery: ExchangeConfig.Cluster: the own cluster's name is required")
	case c.Catalog == nil:
		return errors.New("discovery: ExchangeConfig.Catalog is required")
	}
	return nil
}

// Exchange sends peers what this cluster exports and applies what they export to the catalog.
type Exchange struct {
	cfg     ExchangeConfig
	log     *zap.Logger
	metrics *exchangeMetrics

	exceeded tally.Book[string] // by peer, updates that left it beyond its quota
	unused   tally.Book[string] // by peer, updates of exports for which there is no consent

	mu       sync.Mutex
	sessions map[ReplicaID][]*session // the newest last: that one is current
	shares   map[string]*share        // by peer
}

// NewExchange returns an Exchange without links.
func NewExchange(cfg ExchangeConfig) (*Exchange, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Epoch == 0 {
		cfg.Epoch = uint64(time.Now().UnixNano())
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Exchange{
		cfg: cfg, log: cfg.Log, metrics: newExchangeMetrics(cfg.Registerer), sessions: map[ReplicaID][]*session{}, shares: map[string]*share{},
	}, nil
}

// Serve exchanges catalogs over one link with a replica of an authenticated peer, until ctx or the link ends. Only
// services with a ServiceExport are sent, as counts of endpoints; what peers export is never forwarded to other peers.
//
// It returns nil when ctx ended, an *InvalidError when the peer sent an invalid message, or the error of conn. In each
// case the last advert of the replica stays in the catalog as described at Catalog.ForgetReplica.
//
// Of several Serves for the same replica, the newest applies what the replica sends. The others send, and stand by: two
// replicas that dial each other have two links for a moment, and each side may see the other link first. If each ended the
// link that it saw first, none would be left.
func (x *Exchange) Serve(ctx context.Context, peer, replica string, conn Conn) error {
	link := ReplicaID{Peer: peer, Replica: replica}
	switch {
	case peer == x.cfg.Cluster:
		return fmt.Errorf("discovery: exchange with %q: that is this cluster itself", peer)
	case replica == "" || len(replica) > maxReplicaName:
		return invalid("replica", "a name of 1 to %d bytes is expected", maxReplicaName)
	}
	s := &session{
		exchange: x, link: link, conn: &countedConn{conn, x.metrics, peer}, gap: notify.NewSignal(), requested: notify.NewSignal(),
	}
	x.enter(s)
	defer x.leave(s)
	err := bothWays(ctx, s.send, s.receive)
	if ctx.Err() != nil {
		return nil
	}
	if bad, ok := errors.AsType[*InvalidError](err); ok {
		x.metrics.invalid.WithLabelValues(peer).Inc()
		x.log.Error("peer sent an invalid catalog message, its last good state is kept",
			zap.String("peer", peer), zap.String("replica", replica),
			zap.String("field", bad.Field), zap.String("reason", bad.Reason))
	}
	return fmt.Errorf("discovery: exchange with %s/%s: %w", peer, replica, err)
}

// enter makes s the current session of its replica.
func (x *Exchange) enter(s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sessions[s.link] = append(x.sessions[s.link], s)
	if x.shares[s.link.Peer] == nil {
		x.shares[s.link.Peer] = newShare()
	}
	s.share = x.shares[s.link.Peer]
	s.share.links++
}

// leave ends s. If another session with the replica stood by, it is current from now on, and needs a snapshot.
func (x *Exchange) leave(s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.share.links--; s.share.links == 0 {
		delete(x.shares, s.link.Peer)
	}
	was := x.currentLocked(s.link)
	x.sessions[s.link] = slices.DeleteFunc(x.sessions[s.link], func(o *session) bool { return o == s })
	if next := x.currentLocked(s.link); next != nil {
		if next != was {
			next.needSnapshot()
		}
		return
	}
	delete(x.sessions, s.link)
	x.cfg.Catalog.ForgetReplica(s.link)
	if x.cfg.Catalog.Snapshot().Peers[s.link.Peer] == nil {
		x.metrics.forget(s.link.Peer)
	}
}

// currentLocked is the session whose updates are applied; nil if there is none.
func (x *Exchange) currentLocked(link ReplicaID) *session {
	all := x.sessions[link]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// update applies an update that came in s, if that is current: what a session that stands by gets may be older than what the
// current one has applied.
func (x *Exchange) update(s *session, u Update) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.currentLocked(s.link) != s {
		return nil
	}
	exported := slices.Collect(maps.Keys(u.Exports))
	err := x.cfg.Catalog.UpdateRemote(s.link, u)
	if err == nil {
		s.lost.Store(false)
		s.heard.Store(true)
		x.reportExcess(s.link.Peer)
		x.reportUnused(s.link.Peer, exported)
	}
	return err
}

// reportExcess logs that a peer is beyond its quota, at most once a minute.
func (x *Exchange) reportExcess(peer string) {
	e := x.cfg.Catalog.Snapshot().Excess[peer]
	if e == nil || x.exceeded.Note(time.Now(), peer, 1) == 0 {
		return
	}
	x.log.Warn("peer exports more than its quota: services are not imported", zap.String("peer", peer),
		zap.Int("left_out", e.LeftOut()), zap.Stringer("first", e.First), zap.Int("services", e.Exported.Services),
		zap.Int("ports", e.Exported.Ports), zap.Int("pods", e.Exported.Pods), zap.String("field", "spec.quota."+e.Field),
		zap.Int("limit", e.Quota.field(e.Field)), zap.String("remedy", e.Remedy()))
}

// reportUnused logs, at most once a minute, that a peer exports what the own cluster has and does not share.
func (x *Exchange) reportUnused(peer string, exported []ServiceName) {
	services := x.cfg.Catalog.Snapshot().Services
	unused := slices.DeleteFunc(exported, func(n ServiceName) bool {
		s := services.Get(n)
		return s == nil || !slices.Contains(s.Unused, peer)
	})
	if len(unused) == 0 || x.unused.Note(time.Now(), peer, 1) == 0 {
		return
	}
	first := slices.MinFunc(unused, ServiceName.Compare)
	x.log.Warn("peer exports services that this cluster has and does not share: their calls do not go there", zap.String("peer", peer),
		zap.Int("services", len(unused)), zap.Stringer("first", first), zap.String("remedy", ConsentRemedy(peer, first)))
}

// session is the exchange over one link.
type session struct {
	exchange *Exchange
	link     ReplicaID
	conn     Conn
	share    *share // with the links of the peer's other replicas
	staged   int    // bytes of the update that arrives; of the goroutine that receives

	heard     atomic.Bool   // the catalog has had an advert of the replica from this session
	lost      atomic.Bool   // an update did not follow the last one, or was not applied: a snapshot is needed
	gap       notify.Signal // this side needs a snapshot
	requested notify.Signal // the peer needs a snapshot
}

// restore requests a snapshot when the catalog has dropped what this link brought.
func (s *session) restore() {
	if s.heard.Load() && !s.lost.Load() && s.exchange.cfg.Catalog.lacks(s.link) {
		s.needSnapshot()
	}
}

// send sends changes to the peer at once, but not more often than every coalesce; it sends and requests snapshots not
// more often than every resyncInterval.
func (s *session) send(ctx context.Context) error {
	var (
		has                     sent
		pace                    = rate.NewLimiter(rate.Every(coalesce), 1)
		requests                = rate.NewLimiter(rate.Every(resyncInterval), 1)
		snapshots               = rate.NewLimiter(rate.Every(resyncInterval), 1)
		gap, requested          = s.gap, s.requested
		requestNow, snapshotNow <-chan time.Time
	)
	for {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		peerAdded := s.exchange.cfg.Catalog.peerAdded.Changed()
		s.restore()
		d, ok, more := s.exchange.cfg.Catalog.deltaFor(s.link.Peer, &has)
		if ok {
			if err := sendDelta(ctx, s.conn, s.exchange.cfg.Cluster, s.exchange.cfg.Epoch, &d); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		case <-peerAdded:
		case <-requested:
			requested, snapshotNow = nil, time.After(snapshots.Reserve().Delay())
		case <-snapshotNow:
			requested, snapshotNow, has = s.requested, nil, sent{}
			s.requested.Clear()
		case <-gap:
			gap, requestNow = nil, time.After(requests.Reserve().Delay())
		case <-requestNow:
			gap, requestNow = s.gap, nil
			s.gap.Clear()
			if err := s.resync(ctx); err != nil {
				return err
			}
		}
	}
}

// resync requests a snapshot, unless one has arrived meanwhile.
func (s *session) resync(ctx context.Context) error {
	if !s.lost.Load() && !s.exchange.cfg.Catalog.lacks(s.link) {
		return nil
	}
	s.exchange.metrics.resyncs.WithLabelValues(s.link.Peer).Inc()
	s.exchange.log.Warn("an update of the peer's catalog is missing, requesting a snapshot",
		zap.String("peer", s.link.Peer), zap.String("replica", s.link.Replica))
	return send(ctx, s.conn, resyncMessage())
}

// receive applies the peer's messages. What exceeds the rates is read, or applied, more slowly.
func (s *session) receive(ctx context.Context) error {
	a := &assembler{peer: s.link.Peer}
	defer s.applied()
	for {
		data, err := s.conn.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if err := s.rates().messages.Wait(ctx); err != nil {
			return err
		}
		u, done, err := s.read(a, data)
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		if err := s.rates().updates.Wait(ctx); err != nil {
			return err
		}
		if err := s.apply(u); err != nil {
			return err
		}
		s.applied()
	}
}

func (s *session) apply(u Update) error {
	err := s.exchange.update(s, u)
	if errors.Is(err, ErrGap) || errors.Is(err, ErrUnknownPeer) { // the link ends if the Peer stays away
		s.needSnapshot()
		return nil
	}
	return err
}

func (s *session) needSnapshot() {
	s.lost.Store(true)
	s.gap.Notify()
}
