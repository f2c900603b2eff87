package autoscale

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/e2e/install"
)

// proxies are the pods, those that are leaving included.
func (w *world) proxies(ctx context.Context) ([]corev1.Pod, error) {
	return w.pods(ctx, install.Namespace, "app.kubernetes.io/component=proxy")
}

// autoscaler of the proxies.
func (w *world) autoscaler(ctx context.Context) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	a, err := w.clients.AutoscalingV2().HorizontalPodAutoscalers(install.Namespace).Get(ctx, install.Release+"-proxy", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	w.mark(fmt.Sprintf("the autoscaler sees %s and has %d proxies, wants %d", usage(a), a.Status.CurrentReplicas, a.Status.DesiredReplicas))
	return a, nil
}

// unknown usage, as kubectl says it.
const unknown = "<unknown>"

// usage of CPU that the autoscaler goes by, relative to what proxies request.
func usage(a *autoscalingv2.HorizontalPodAutoscaler) string {
	for _, m := range a.Status.CurrentMetrics {
		if m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Current.AverageUtilization != nil {
			return fmt.Sprintf("%d%%", *m.Resource.Current.AverageUtilization)
		}
	}
	return unknown
}

const (
	healthPort  = "15020"
	callsMetric = "eastway_connections_total"
)

// calls that a proxy has carried from applications of its cluster, to their end.
func (w *world) calls(ctx context.Context, proxy string) (int, error) {
	text, err := w.clients.CoreV1().Pods(install.Namespace).ProxyGet("http", proxy, healthPort, "/metrics", nil).DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the metrics of %s: %w", proxy, err)
	}
	calls := 0.0
	for line := range strings.Lines(string(text)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(series, callsMetric+"{") || !strings.Contains(series, `direction="outbound"`) ||
			!strings.Contains(series, `result="ok"`) || !strings.Contains(series, `service="`+namespace+`/mocka"`) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("read the metrics of %s: %w", proxy, err)
		}
		calls += n
	}
	return int(calls), nil
}

// carried says which of some proxies has not carried so many calls yet.
func (w *world) carried(ctx context.Context, calls int, proxies []corev1.Pod) error {
	for i := range proxies {
		n, err := w.calls(ctx, proxies[i].Name)
		if err != nil {
			return err
		}
		if n < calls {
			return fmt.Errorf("%s has carried %d calls of %d", proxies[i].Name, n, calls)
		}
	}
	return nil
}
