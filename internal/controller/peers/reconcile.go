package peers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
)

const (
	// statusPace is the least time between two reads of the proxies' states, and so between two writes of one status.
	statusPace = 3 * time.Second
	// figuresPace is the least time between two writes that change only figures (lanes, round trip, services, what is beyond the quota).
	figuresPace = 30 * time.Second
)

// Config of a Reconciler. Fields that are not marked optional are required.
type Config struct {
	// Cluster is the own name, OwnID returns the own SPIFFE ID ("" while there is none).
	Cluster string
	OwnID   func() string
	// Namespace of the installation.
	Namespace string
	// Catalog gets the trusted peers.
	Catalog *discovery.Catalog
	// States are the peers as each proxy sees them, by replica, as discovery.Follower returns them; nil: not known.
	States func() (map[string][]discovery.PeerConnectivity, <-chan struct{})
	Client client.Reader
	Writer *apply.Writer
	// Events takes what an operator should know of a Peer; nil means none.
	Events record.EventRecorder
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log may be nil.
	Log *zap.Logger
}

// Validate names the first field that is missing.
func (c *Config) Validate() error {
	if c.Cluster == "" || c.Namespace == "" || c.OwnID == nil || c.Catalog == nil || c.Client == nil || c.Writer == nil {
		return errors.New("peers: Config.Cluster, Namespace, OwnID, Catalog, Client and Writer are required")
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
	r.cfg.Catalog.SetLocal(discovery.Local{Peers: r.last, Namespace: r.cfg.Namespace})
	r.forget(verdicts)

	var states map[string][]discovery.PeerConnectivity
	if r.cfg.States != nil {
		states, _ = r.cfg.States()
	}
	known := r.imported(list.Items)
	var errs []error
	soon := false
	for i := range list.Items {
		p := &list.Items[i]
		want := statusOf(p, verdicts[p.Name], summarize(p.Name, states), known[p.Name], r.cfg.Now())
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
	was := meta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.PeerWithinQuota)
	p = p.DeepCopy()
	p.Status = want
	if err := r.cfg.Writer.ApplyStatus(ctx, p); err != nil {
		return false, err
	}
	r.written[p.Name] = now
	r.announce(p, was)
	return false, nil
}

// announce makes an event when a peer begins to exceed its quota.
func (r *Reconciler) announce(p *v1alpha1.Peer, was bool) {
	is := quotaCondition(&p.Status)
	if r.cfg.Events != nil && !was && is != nil && is.Status == metav1.ConditionFalse {
		r.cfg.Events.Event(p, corev1.EventTypeWarning, is.Reason, is.Message)
	}
}

func sameButFigures(is, want *v1alpha1.PeerStatus) bool {
	like := want.DeepCopy()
	like.Lanes, like.RoundTripTime, like.Services = is.Lanes, is.RoundTripTime, is.Services
	was, now := quotaCondition(is), quotaCondition(like)
	if was != nil && now != nil && was.Status == now.Status {
		now.Message = was.Message // how much is left out
	}
	return equality.Semantic.DeepEqual(is, like)
}

func quotaCondition(s *v1alpha1.PeerStatus) *metav1.Condition {
	return meta.FindStatusCondition(s.Conditions, v1alpha1.PeerWithinQuota)
}

// imported is what the catalog knows of a peer.
type imported struct {
	heard    bool // it has sent what it exports
	services int
	excess   *discovery.Excess // nil: within its quota
}

func (r *Reconciler) imported(list []v1alpha1.Peer) map[string]imported {
	snapshot := r.cfg.Catalog.Snapshot()
	services := map[string]int{}
	for _, s := range snapshot.Services.All() {
		for i := range s.Peers {
			services[s.Peers[i].Peer]++
		}
	}
	out := make(map[string]imported, len(list))
	for i := range list {
		name := list[i].Name
		out[name] = imported{heard: r.cfg.Catalog.Heard(name), services: services[name], excess: snapshot.Excess[name]}
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
