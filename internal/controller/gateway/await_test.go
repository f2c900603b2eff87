package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/bubble"
)

// server has some kinds, or fails, and lets objects be read or not.
type server struct {
	client.Reader

	mu    sync.Mutex
	kinds []string
	fails error
	reads error
}

func (s *server) set(fails, reads error, kinds ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds, s.fails, s.reads = kinds, fails, reads
}

func (s *server) ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil || groupVersion != "gateway.networking.k8s.io/v1" {
		return nil, s.fails
	}
	l := &metav1.APIResourceList{GroupVersion: groupVersion}
	for _, kind := range s.kinds {
		l.APIResources = append(l.APIResources, metav1.APIResource{Name: kind})
	}
	return l, nil
}

func (s *server) List(context.Context, client.ObjectList, ...client.ListOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// Definitions and rights may come later. Until then a cluster without them costs two log lines, not one for each look.
func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		s := &server{}
		r := &Reconciler{cfg: Config{Direct: s}, log: zap.New(core)}
		ended := make(chan bool, 1)
		notFound := apierrors.NewNotFound(schema.GroupResource{}, "")
		forbidden := apierrors.NewForbidden(gatewayv1.Resource("gateways"), "", errors.New("no right"))
		s.set(notFound, nil)
		go func() { ended <- r.await(t.Context(), s) }()
		var got []string
		step := func() {
			bubble.Pass(100 * waitMax)
			for _, e := range logs.TakeAll() {
				got = append(got, e.Level.String()+" "+e.Message+": "+strings.Join(mapValues(e.ContextMap()), ""))
			}
		}
		step()
		s.set(errors.New("away"), nil)
		step()
		s.set(nil, nil, "gateways")
		step()
		s.set(nil, forbidden, "gateways", "gatewayclasses")
		step()
		select {
		case <-ended:
			t.Error("it has begun without rights")
		default:
		}
		s.set(nil, nil, "gateways", "gatewayclasses")
		step()
		if !<-ended {
			t.Error("given up")
		}
		if len(got) < 4 || len(got) > 5 || !strings.HasPrefix(got[0], "info waiting for Gateways: the definitions") ||
			!strings.Contains(got[1], "away") ||
			!strings.HasPrefix(got[3], "warn Gateways get no Service: ") || !strings.Contains(got[3], "ClusterRole") {
			t.Errorf("log:\n%s", strings.Join(got, "\n"))
		}
	})
}

func mapValues(m map[string]any) []string {
	var out []string
	for _, v := range m {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func TestAwaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &server{}
		r := &Reconciler{cfg: Config{Direct: s}, log: zap.NewNop()}
		ended := make(chan bool, 1)
		go func() { ended <- r.await(ctx, s) }()
		synctest.Wait()
		cancel()
		if <-ended {
			t.Error("nothing is there")
		}
	})
}

func TestSettings(t *testing.T) {
	t.Parallel()
	good := Settings{
		EntryService: "eastway-entry", Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
		LoadBalancerClass: "example.com/nlb",
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for flag, spoil := range map[string]func(*Settings){
		"--entry-service":                   func(s *Settings) { s.EntryService = "No" },
		"--gateway-service-type":            func(s *Settings) { s.Type = corev1.ServiceTypeExternalName },
		"--gateway-external-traffic-policy": func(s *Settings) { s.ExternalTrafficPolicy = "" },
		"--gateway-load-balancer-class":     func(s *Settings) { s.LoadBalancerClass = "a b" },
	} {
		s := good
		spoil(&s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), flag+" ") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "is required") {
		t.Errorf("%v", err)
	}
}
