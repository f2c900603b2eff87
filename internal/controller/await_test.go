package controller

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/eastway/eastway/internal/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers with one state after the other.
type server struct {
	mu     sync.Mutex
	states []func(groupVersion string) (*metav1.APIResourceList, error)
}

func (s *server) ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[0](groupVersion)
}

func (s *server) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states = s.states[1:]
}

func resources(names ...string) func(string) (*metav1.APIResourceList, error) {
	return func(groupVersion string) (*metav1.APIResourceList, error) {
		l := &metav1.APIResourceList{GroupVersion: groupVersion}
		for _, n := range names {
			l.APIResources = append(l.APIResources, metav1.APIResource{Name: n})
		}
		return l, nil
	}
}

func failing(err error) func(string) (*metav1.APIResourceList, error) {
	return func(string) (*metav1.APIResourceList, error) { return nil, err }
}

func all() func(string) (*metav1.APIResourceList, error) {
	return resources("serviceexports", "serviceimports", "peers", "trafficpolicies", "externalservices")
}

func TestMissing(t *testing.T) {
	t.Parallel()
	group := schema.GroupResource{Group: "x"}
	for name, tc := range map[string]struct {
		state func(string) (*metav1.APIResourceList, error)
		want  string
	}{
		"nothing": {all(), ""},
		"one": {
			resources("serviceexports", "serviceimports", "peers", "externalservices"),
			"CRDs are missing: trafficpolicies.eastway.dev (v1alpha1): kubectl apply -f the chart's crds folder",
		},
		"groups": {
			failing(apierrors.NewNotFound(group, "x")),
			"CRDs are missing: externalservices.eastway.dev (v1alpha1), peers.eastway.dev (v1alpha1), serviceexports.multicluster",
		},
		"RBAC":        {failing(apierrors.NewForbidden(group, "x", nil)), "the API server refuses this account"},
		"unreachable": {failing(errors.New("connection refused")), "the API server cannot be reached: connection refused"},
	} {
		err := missing(&server{states: []func(string) (*metav1.APIResourceList, error){tc.state}})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %s…", name, err, tc.want)
		}
	}
}

// It waits, says once what for, and goes on by itself.
func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		ready := newReadiness()
		s := &server{states: []func(string) (*metav1.APIResourceList, error){failing(errors.New("connection refused")), resources(), all()}}
		done := make(chan bool)
		go func() { done <- await(t.Context(), s, ready, zap.New(core)) }()
		for i, want := range []string{"connection refused", "CRDs are missing"} {
			bubble.Pass(time.Minute)
			if err := ready.check(); err == nil || !strings.Contains(err.Error(), want) || logs.Len() != i+1 {
				t.Errorf("%v, %d lines, want …%s…", err, logs.Len(), want)
			}
			s.next()
		}
		if !<-done {
			t.Error("gave up")
		}
		if err := ready.check(); err == nil || !strings.Contains(err.Error(), "reading the objects") {
			t.Errorf("%v", err)
		}
		ready.watchFailed("*v1.Service", errors.New("services is forbidden"))
		if err := ready.check(); err == nil || !strings.Contains(err.Error(), "*v1.Service: services is forbidden") {
			t.Errorf("%v", err)
		}
		ready.started()
		ready.watchFailed("*v1.Service", errors.New("later"))
		if err := ready.check(); err != nil {
			t.Error(err)
		}
	})
}

func TestAwaitEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &server{states: []func(string) (*metav1.APIResourceList, error){resources()}}
	if await(ctx, s, newReadiness(), zap.NewNop()) {
		t.Error("says that all is there")
	}
}
