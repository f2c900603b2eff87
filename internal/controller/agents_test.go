package controller

import (
	"context"
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// Agents are counted by their DaemonSet; where it cannot be read there is no figure, and one line in the log.
func TestAgentsAreCounted(t *testing.T) {
	t.Parallel()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "tunnels", Name: "gate-node"}}
	d.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: 5, CurrentNumberScheduled: 4, NumberReady: 3, UpdatedNumberScheduled: 2}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(d).Build()
	forbidden := false
	core, logs := observer.New(zap.WarnLevel)
	a := newAgents(interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			if forbidden {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "daemonsets"}, key.Name, nil)
			}
			return c.Get(ctx, key, o, options...)
		},
	}), client.ObjectKeyFromObject(d), zap.New(core))
	reg := prometheus.NewRegistry()
	reg.MustRegister(a.count)
	expect := func(when string, want map[string]float64) {
		t.Helper()
		a.look(t.Context())
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	expect("some are not there", map[string]float64{"desired": 5, "ready": 3, "updated": 2})
	forbidden = true
	expect("forbidden", nil)
	expect("still forbidden", nil)
	if logs.Len() != 1 {
		t.Errorf("%d lines in the log, want one", logs.Len())
	}
	forbidden = false
	if err := c.Delete(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	expect("without a DaemonSet", map[string]float64{"desired": 0, "ready": 0, "updated": 0})
}
