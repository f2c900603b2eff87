package takeover

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/takeover/report"
)

// nodes reads the regions and zones of a few Nodes: the agent's own and the proxies'. It does not watch them: every Node is
// updated every few minutes, and every agent would get each update.
type nodes struct {
	client  kubernetes.Interface
	log     *zap.Logger
	wake    notify.Signal // other names are requested
	changed notify.Signal

	mu    sync.Mutex
	known map[string]*nodeLabels
}

// nodeLabels is what is known of one Node.
type nodeLabels struct {
	report.Locality
	read bool      // an attempt to read them has ended
	next time.Time // when to read them again
}

func newNodes(client kubernetes.Interface, log *zap.Logger, changed notify.Signal) *nodes {
	return &nodes{client: client, log: log, wake: notify.NewSignal(), changed: changed, known: map[string]*nodeLabels{}}
}

// localities are those of the named nodes; ok is false before the first attempt to read each of them has ended. Others are dropped.
func (n *nodes) localities(names []string) (out map[string]report.Locality, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := make(map[string]*nodeLabels, len(names))
	out, ok = make(map[string]report.Locality, len(names)), true
	for _, name := range names {
		labels := n.known[name]
		if labels == nil {
			labels = &nodeLabels{Locality: report.Locality{Node: name}}
			n.wake.Notify()
		}
		known[name], out[name] = labels, labels.Locality
		ok = ok && labels.read
	}
	n.known = known
	return out, ok
}

// run reads what is due until ctx ends.
func (n *nodes) run(ctx context.Context) error {
	timer := time.NewTimer(nodeRetry)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		case <-timer.C:
		}
		for _, name := range n.due() {
			n.read(ctx, name)
		}
		timer.Reset(nodeRetry)
	}
}

func (n *nodes) due() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for name, labels := range n.known {
		if !time.Now().Before(labels.next) {
			out = append(out, name)
		}
	}
	return out
}

func (n *nodes) read(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	node, err := n.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil && ctx.Err() == nil {
		n.log.Warn("cannot read a node's region and zone", zap.String("node", name), zap.Error(err))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	labels := n.known[name]
	if labels == nil {
		return
	}
	before := *labels
	labels.read = true
	labels.next = time.Now().Add(nodeRetry)
	if err == nil {
		labels.next = time.Now().Add(nodeRefresh)
		labels.Zone, labels.Region = node.Labels[corev1.LabelTopologyZone], node.Labels[corev1.LabelTopologyRegion]
	}
	if before.Locality != labels.Locality || !before.read {
		n.changed.Notify()
	}
}
