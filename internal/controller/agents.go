package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/eastway/eastway/internal/controller/apply"
)

// agentsInterval is the time between two looks at the node agents' DaemonSet: one small request.
const agentsInterval = 30 * time.Second

// agents counts the node agents while this replica leads: one that was never made is no target of Prometheus, so its absence shows in no
// metric of its own.
type agents struct {
	reader    client.Reader
	daemonSet client.ObjectKey
	count     *prometheus.GaugeVec // state
	log       *zap.Logger

	lastError string // the last one logged
}

func newAgents(reader client.Reader, daemonSet client.ObjectKey, log *zap.Logger) *agents {
	return &agents{reader: reader, daemonSet: daemonSet, log: log, count: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "eastway_controller_node_agents",
		Help: "Node agents, as their DaemonSet counts them; 0 without one. state: desired (nodes that should have one), ready, " +
			"updated (of the present template). Only the replica that leads has it.",
	}, []string{"state"})}
}

func (c *Controller) setupAgents(m manager.Manager, _ *apply.Writer, _ *metav1.OwnerReference) error {
	if c.cfg.Names.NodeDaemonSet == "" {
		return nil
	}
	key := client.ObjectKey{Namespace: c.cfg.Namespace, Name: c.cfg.Names.NodeDaemonSet}
	a := newAgents(m.GetAPIReader(), key, c.log.Named("agents"))
	if c.cfg.Registerer != nil {
		if err := c.cfg.Registerer.Register(a.count); err != nil {
			return fmt.Errorf("controller: register metrics: %w", err)
		}
	}
	return m.Add(a)
}

// Start implements manager.Runnable.
func (a *agents) Start(ctx context.Context) error {
	ticker := time.NewTicker(agentsInterval)
	defer ticker.Stop()
	for {
		a.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// look counts once. Without an answer nothing is known, and there is no series.
func (a *agents) look(ctx context.Context) {
	var d appsv1.DaemonSet
	err := a.reader.Get(ctx, a.daemonSet, &d)
	if err != nil && !apierrors.IsNotFound(err) {
		a.count.Reset()
		if text := err.Error(); text != a.lastError && ctx.Err() == nil {
			a.lastError = text
			a.log.Warn("node agents cannot be counted: no alert will say that some are missing",
				zap.Stringer("daemonset", a.daemonSet), zap.Error(err))
		}
		return
	}
	a.lastError = ""
	a.count.WithLabelValues("desired").Set(float64(d.Status.DesiredNumberScheduled))
	a.count.WithLabelValues("ready").Set(float64(d.Status.NumberReady))
	a.count.WithLabelValues("updated").Set(float64(d.Status.UpdatedNumberScheduled))
}
