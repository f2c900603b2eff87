package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/follow"
	"github.com/eastway/eastway/internal/notify"
)

const (
	// clientQPS and clientBurst bound the requests per second of the one that writes.
	clientQPS   = 20
	clientBurst = 50
	// writeTimeout is how long the API server has for one status.
	writeTimeout = 10 * time.Second
	// maxProblems is how many statuses that cannot be written are named.
	maxProblems = 10
)

// Config of a Writer. REST and Lease are needed.
type Config struct {
	REST *rest.Config
	// Lease is held by the entry that writes. Identity is this one's name in it.
	Lease      types.NamespacedName
	Identity   string
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Writer writes statuses while it has the Lease.
type Writer struct {
	cfg     Config
	log     *zap.Logger
	http    *http.Client
	client  dynamic.Interface
	leases  coordinationv1.LeasesGetter
	changed notify.Signal
	writes  *prometheus.CounterVec
	leader  prometheus.Gauge

	mu     sync.Mutex
	want   *Wanted // nil: not known yet
	there  []Object
	failed map[ID]string
	lease  string // what is wrong with it
	leads  bool
}

// New makes a Writer; Run writes.
func New(cfg Config) (*Writer, error) {
	if cfg.REST == nil || cfg.Lease.Name == "" || cfg.Lease.Namespace == "" || cfg.Identity == "" {
		return nil, errors.New("entry: status.Config: REST, Lease and Identity are required")
	}
	conf := rest.CopyConfig(cfg.REST)
	conf.QPS, conf.Burst, conf.RateLimiter = clientQPS, clientBurst, nil
	conf.WarningHandler = rest.NoWarnings{}
	h, err := rest.HTTPClientFor(conf)
	if err != nil {
		return nil, fmt.Errorf("entry: client of the API server: %w: check the kubeconfig", err)
	}
	w := newWriter(cfg)
	w.http = h
	if w.client, err = dynamic.NewForConfigAndClient(conf, h); err != nil {
		return nil, fmt.Errorf("entry: client of the API server: %w: check the kubeconfig", err)
	}
	renewals := rest.CopyConfig(conf) // a limit of its own: statuses must not delay what keeps the Lease
	if w.leases, err = coordinationv1.NewForConfigAndClient(renewals, h); err != nil {
		return nil, fmt.Errorf("entry: client of the API server: %w: check the kubeconfig", err)
	}
	return w, nil
}

func newWriter(cfg Config) *Writer {
	with := promauto.With(cfg.Registerer)
	return &Writer{
		cfg: cfg, log: cmp.Or(cfg.Log, zap.NewNop()), changed: notify.NewSignal(), failed: make(map[ID]string),
		writes: with.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_entry_status_writes_total",
			Help: "Statuses of Gateways and routes that were written, by kind and result: ok, conflict, failed.",
		}, []string{"kind", "result"}),
		leader: with.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_entry_status_leader", Help: "1 while this entry has the Lease and writes statuses.",
		}),
	}
}

// Set has the Writer make what is there what is wanted. Neither changes any more.
func (w *Writer) Set(want *Wanted, there []Object) {
	w.mu.Lock()
	w.want, w.there = want, there
	w.mu.Unlock()
	w.changed.Notify()
}

// Run writes until ctx ends, whenever this entry has the Lease.
func (w *Writer) Run(ctx context.Context) {
	w.lead(ctx, w.write)
	if w.http != nil {
		utilnet.CloseIdleConnectionsFor(w.http.Transport)
	}
}

// write writes until ctx ends.
func (w *Writer) write(ctx context.Context) {
	w.setLeader(true)
	defer w.setLeader(false)
	var q queue
	for {
		w.mu.Lock()
		want, there := w.want, w.there
		w.mu.Unlock()
		var send []Change
		var next time.Time
		if want != nil {
			send, next = q.due(Changes(want, there, metav1.Now().Rfc3339Copy()), time.Now())
		}
		w.keep(&q)
		for i := range send {
			err := w.send(ctx, &send[i])
			if ctx.Err() != nil {
				return
			}
			q.done(&send[i], err, time.Now(), rand.Float64())
			w.note(&send[i], err)
		}
		if len(send) > 0 {
			continue // when the next one is due has changed
		}
		var wake <-chan time.Time
		if !next.IsZero() {
			wake = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-w.changed:
		}
	}
}

// resources are the names of kinds in URLs.
func resources() map[string]string {
	return map[string]string{Gateway: "gateways", HTTPRoute: "httproutes", GRPCRoute: "grpcroutes", TLSPolicy: "backendtlspolicies"}
}

func (w *Writer) send(ctx context.Context, c *Change) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	at := schema.GroupVersionResource{Group: gatewayv1.GroupName, Version: "v1", Resource: resources()[c.Kind]}
	_, err := w.client.Resource(at).Namespace(c.Name.Namespace).Patch(ctx, c.Name.Name, types.MergePatchType, c.Patch,
		metav1.PatchOptions{FieldManager: "eastway-entry"}, "status")
	return err
}

// note counts and logs what came of a change. A conflict or an object that is gone is no problem.
func (w *Writer) note(c *Change, err error) {
	result, problem := "ok", ""
	switch {
	case err == nil, apierrors.IsNotFound(err):
	case apierrors.IsConflict(err):
		result = "conflict"
	case apierrors.IsForbidden(err):
		result = "failed"
		problem = fmt.Sprintf("%s: the API server does not allow to write its status: allow the entry's service account patch of %s/status (%s) in "+
			"all namespaces (%s)", c.Kind, resources()[c.Kind], gatewayv1.GroupName, follow.Reason(err))
	default:
		result = "failed"
		problem = fmt.Sprintf("%s %s: its status cannot be written, trying again: %s", c.Kind, c.Name, follow.Reason(err))
	}
	w.writes.WithLabelValues(c.Kind, result).Inc()
	w.mu.Lock()
	known := w.failed[c.ID] != ""
	if problem == "" {
		delete(w.failed, c.ID)
	} else {
		for _, p := range w.failed {
			known = known || p == problem
		}
		w.failed[c.ID] = problem
	}
	w.mu.Unlock()
	if problem != "" && !known {
		w.log.Error("status is not written", zap.String("reason", problem))
	}
}

// keep forgets problems with objects that have nothing to be written any more.
func (w *Writer) keep(q *queue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.failed {
		if _, held := q.held[id]; !held {
			delete(w.failed, id)
		}
	}
}

func (w *Writer) setLeader(leads bool) {
	w.mu.Lock()
	w.leads = leads
	if !leads {
		clear(w.failed)
	}
	w.mu.Unlock()
	if leads {
		w.leader.Set(1)
		w.log.Info("this entry writes the status of Gateways and routes")
		return
	}
	w.leader.Set(0)
	w.log.Info("this entry writes no status any more")
}

// Problems are what cannot be written, and why; each of them once.
func (w *Writer) Problems() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.failed {
		out = append(out, p)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if more := len(out) - maxProblems; more > 0 {
		out = append(out[:maxProblems], fmt.Sprintf("and the status of %d more objects", more))
	}
	if w.lease != "" {
		out = append(out, w.lease)
	}
	return out
}

// leaseProblem describes why this entry cannot know whether it is the one to write.
func leaseProblem(name types.NamespacedName, verb string, err error) string {
	if apierrors.IsForbidden(err) {
		return fmt.Sprintf("Lease %s: the API server does not allow to %s it, no status is written: allow the entry's service account get, create "+
			"and update of leases (coordination.k8s.io) in namespace %s (%s)", name, verb, name.Namespace, follow.Reason(err))
	}
	return fmt.Sprintf("Lease %s: the API server cannot %s it, no status is written: %s", name, verb, strings.TrimSpace(follow.Reason(err)))
}
