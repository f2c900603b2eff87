package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
)

const (
	// statusPace is the least time between two reads of the proxies' states, and so between two writes of one status.
	statusPace = 3 * time.Second
	// figuresPace is the least time between two writes that change only figures (lanes, round trip, services).
	figuresPace = 30 * time.Second
)

// Config of a Reconciler. Fields that are not marked optional are required.
type Config struct {
	// Cluster is the own name, OwnID returns the own SPIFFE ID ("" while there is none).
	Cluster string
	OwnID   func() string
	// Catalog gets the trusted peers.
	Catalog *discovery.Catalog
	// States are the peers as each proxy sees them, by replica, as discovery.Follower returns them; nil: not known.
	States func() (map[string][]discovery.PeerConnectivity, <-chan struct{})
	Client client.Reader
	Writer *apply.Writer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log may be nil.
	Log *zap.Logger
}

// Validate names the first field that is missing.
func (c *Config) Validate() error {
	if c.Cluster == "" || c.OwnID == nil || c.Catalog == nil || c.Client == nil || c.Writer == nil {
		return errors.New("peers: Config.Cluster, OwnID, Catalog, Client and Writer are required")
	}
	return nil
}

// Reconciler reconciles all Peers at once: it has one request, whatever its name.
type Reconciler struct {
	cfg Config
	log *zap.Logger

	// Reconcile never runs twice at a time.
	last    map[string]*discovery.Peer // accepted
	logged  map[string]verdict
	written map[string]time.Time
}

// New returns a Reconciler; Setup connects it to what it watches.
func New(cfg Config) (*Reconciler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Reconciler{cfg: cfg, log: cfg.Log, logged: map[string]verdict{}, written: map[string]time.Time{}}, nil
}

// Reconcile sets the catalog's peers and writes statuses that changed.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var list v1alpha1.PeerList
	if err := r.cfg.Client.List(ctx, &list); err != nil {
		return reconcile.Result{}, fmt.Errorf("list Peers: %w", err)
	}
	verdicts := make(map[string]verdict, len(list.Items))
	for i := range list.Items {
		p := &list.Items[i]
		verdicts[p.Name] = judge(r.cfg.Cluster, r.cfg.OwnID(), p)
		r.report(p.Name, verdicts[p.Name])
	}
	r.last = accepted(list.Items, verdicts, r.last)
	r.cfg.Catalog.SetLocal(discovery.Local{Peers: r.last})
	r.forget(verdicts)

	var states map[string][]discovery.PeerConnectivity
	if r.cfg.States != nil {
		states, _ = r.cfg.States()
	}
	services := r.services()
	var errs []error
	soon := false
	for i := range list.Items {
		p := &list.Items[i]
		want := statusOf(p, verdicts[p.Name], summarize(p.Name, states), services[p.Name], r.cfg.Now())
		late, err := r.write(ctx, p, want)
		soon = soon || late
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return reconcile.Result{}, err
	}
	if soon {
		return reconcile.Result{RequeueAfter: figuresPace}, nil
	}
	return reconcile.Result{}, nil
}

// write is late if it leaves figures for a later write.
func (r *Reconciler) write(ctx context.Context, p *v1alpha1.Peer, want v1alpha1.PeerStatus) (late bool, err error) {
	if equality.Semantic.DeepEqual(p.Status, want) {
		return false, nil
	}
	now := r.cfg.Now()
	if now.Sub(r.written[p.Name]) < figuresPace && sameButFigures(&p.Status, &want) {
		return true, nil
	}
	p = p.DeepCopy()
	p.Status = want
	if err := r.cfg.Writer.ApplyStatus(ctx, p); err != nil {
		return false, err
	}
	r.written[p.Name] = now
	return false, nil
}

func sameButFigures(is, want *v1alpha1.PeerStatus) bool {
	like := want.DeepCopy()
	like.Lanes, like.RoundTripTime, like.Services = is.Lanes, is.RoundTripTime, is.Services
	return equality.Semantic.DeepEqual(is, like)
}

// services counts what each peer exports.
func (r *Reconciler) services() map[string]int {
	out := map[string]int{}
	for _, s := range r.cfg.Catalog.Snapshot().Services.All() {
		for i := range s.Peers {
			out[s.Peers[i].Peer]++
		}
	}
	return out
}

// report logs a verdict once.
func (r *Reconciler) report(peer string, v verdict) {
	was, known := r.logged[peer]
	if r.logged[peer] = v; was == v {
		return
	}
	switch {
	case !v.accepted():
		r.log.Warn("Peer is not accepted", zap.String("peer", peer), zap.String("reason", v.reason), zap.String("error", v.message),
			zap.Bool("last_valid_in_use", r.last[peer] != nil))
	case known:
		r.log.Info("Peer is accepted again", zap.String("peer", peer))
	default:
		r.log.Info("Peer accepted", zap.String("peer", peer))
	}
}

// forget drops what was kept of Peers that are gone.
func (r *Reconciler) forget(there map[string]verdict) {
	for name := range r.logged {
		if _, ok := there[name]; !ok {
			r.log.Info("Peer removed", zap.String("peer", name))
			delete(r.logged, name)
			delete(r.written, name)
		}
	}
}
