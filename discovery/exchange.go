package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/notify"
)

// MessageConn carries whole messages of at most MaxMessage bytes to one replica of a peer, in order, reliably, until
// the link ends. One Send and one Receive may run at the same time; both return when their context ends.
type MessageConn interface {
	Send(ctx context.Context, msg []byte) error
	Receive(ctx context.Context) ([]byte, error)
}

// ExchangeConfig configures an Exchange.
type ExchangeConfig struct {
	// Cluster is the own name, as peers know it from its certificate. Required.
	Cluster string
	// Catalog is told from and written to. Required.
	Catalog *Catalog
	// PeerStates is how peers are connected, sorted by name, for the controller; nil: nothing is told.
	PeerStates func() []PeerState
	// Epoch tells this run of the process from earlier ones; 0 means the time of NewExchange.
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

// Exchange tells peers what this cluster exports and takes in what they export.
type Exchange struct {
	cfg     ExchangeConfig
	log     *zap.Logger
	metrics *exchangeMetrics

	mu       sync.Mutex
	sessions map[Link]*session
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
	return &Exchange{cfg: cfg, log: cfg.Log, metrics: newExchangeMetrics(cfg.Registerer), sessions: map[Link]*session{}}, nil
}

// Serve exchanges catalogs over one link with a replica of a peer, whose name is proved, until ctx or the link ends.
// Only services with a ServiceExport are told, as counts of endpoints; what peers export is never passed on.
//
// It returns nil when ctx ended, an *InvalidError when the peer broke the rules, or the error of conn. Whatever the
// reason, what the peer told last stays in the catalog as Catalog.ForgetReplica says.
//
// A newer Serve for the same replica ends an older one, which may not have noticed yet that its link is gone.
func (x *Exchange) Serve(ctx context.Context, peer, replica string, conn MessageConn) error {
	link := Link{Peer: peer, Replica: replica}
	switch {
	case peer == x.cfg.Cluster:
		return fmt.Errorf("discovery: exchange with %q: that is this cluster itself", peer)
	case replica == "" || len(replica) > maxReplicaName:
		return invalid("replica", "a name of 1 to %d bytes is expected", maxReplicaName)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{
		exchange: x, link: link, conn: conn, end: cancel, ended: make(chan struct{}),
		ask: notify.NewSignal(), asked: notify.NewSignal(),
	}
	if !x.enter(ctx, s) {
		return nil
	}
	defer x.leave(s)
	err := bothWays(ctx, s.send, s.receive)
	if ctx.Err() != nil {
		return nil
	}
	if bad, ok := errors.AsType[*InvalidError](err); ok {
		x.metrics.invalid.WithLabelValues(peer).Inc()
		x.log.Error("peer broke the rules of the catalog exchange, its last good state is kept",
			zap.String("peer", peer), zap.String("replica", replica),
			zap.String("field", bad.Field), zap.String("reason", bad.Reason))
	}
	return fmt.Errorf("discovery: exchange with %s/%s: %w", peer, replica, err)
}

// enter makes s the only session of its link, once the one before has ended; false if ctx ended first.
func (x *Exchange) enter(ctx context.Context, s *session) bool {
	for {
		x.mu.Lock()
		old := x.sessions[s.link]
		if old == nil {
			x.sessions[s.link] = s
			x.mu.Unlock()
			return true
		}
		x.mu.Unlock()
		old.end()
		select {
		case <-old.ended:
		case <-ctx.Done():
			return false
		}
	}
}

func (x *Exchange) leave(s *session) {
	x.cfg.Catalog.ForgetReplica(s.link)
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.sessions, s.link)
	if x.cfg.Catalog.Snapshot().Peers[s.link.Peer] == nil {
		x.metrics.forget(s.link.Peer)
	}
	close(s.ended)
}
