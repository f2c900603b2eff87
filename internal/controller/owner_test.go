package controller

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/controller/apply"
)

func role(uid types.UID) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "gate-controller", UID: uid}}
}

// owned is an installation with a lease that another leader election made.
type owned struct {
	client.WithWatch
	o       *ownership
	refuses atomic.Bool // the API server, to write
	logs    *observer.ObservedLogs
}

func newOwned(t *testing.T) *owned {
	t.Helper()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	holder := "gate-controller-0"
	w := &owned{WithWatch: fake.NewClientBuilder().WithScheme(scheme).WithObjects(role("first"), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "tunnels", Name: "gate-controller"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}).Build()}
	writer, err := apply.NewWriter(interceptor.NewClient(w, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			if w.refuses.Load() {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "gate-controller", nil)
			}
			return c.Apply(ctx, o, options...)
		},
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &Controller{cfg: Config{Names: Names{OwnerClusterRole: "gate-controller"}}}
	owner, err := c.owner(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	var core zapcore.Core
	core, w.logs = observer.New(zap.InfoLevel)
	w.o = &ownership{
		reader: w, writer: writer, owner: *owner, log: zap.New(core),
		lease: client.ObjectKey{Namespace: "tunnels", Name: "gate-controller"},
	}
	return w
}

func (w *owned) leaseOwners(t *testing.T) []metav1.OwnerReference {
	t.Helper()
	var lease coordinationv1.Lease
	if err := w.Get(t.Context(), w.o.lease, &lease); err != nil {
		t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		t.Error("the lease lost its holder")
	}
	return lease.OwnerReferences
}

func TestOwner(t *testing.T) {
	t.Parallel()
	w := newOwned(t)
	want := metav1.OwnerReference{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "gate-controller", UID: "first"}
	if w.o.owner != want {
		t.Errorf("%+v, want %+v", w.o.owner, want)
	}
	if owner, err := (&Controller{}).owner(t.Context(), w); owner != nil || err != nil {
		t.Errorf("unasked for: %v, %v", owner, err)
	}
	c := &Controller{cfg: Config{Names: Names{OwnerClusterRole: "none"}}}
	if _, err := c.owner(t.Context(), w); err == nil || !strings.Contains(err.Error(), "ClusterRole none, which is to own") {
		t.Errorf("one that is not there: %v", err)
	}
}

// The lease gets its owner, later if it cannot be at once, and the work goes on all the same.
func TestLeaseGetsItsOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOwned(t)
		w.refuses.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.o.Start(ctx) }()
		bubble.Pass(3 * ownerCheckInterval)
		if owners := w.leaseOwners(t); len(owners) > 0 || w.logs.Len() != 1 {
			t.Errorf("refused: owned by %v, %d complaints", owners, w.logs.Len())
		}
		w.refuses.Store(false)
		bubble.Pass(ownerCheckInterval)
		if owners := w.leaseOwners(t); len(owners) != 1 || owners[0] != w.o.owner {
			t.Errorf("owned by %v", owners)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A lease that does not exist yet begins with its owner; one that is held is left alone.
func TestLeaseBeginsWithItsOwner(t *testing.T) {
	t.Parallel()
	w := newOwned(t)
	if err := w.o.makeLease(t.Context()); err != nil || len(w.leaseOwners(t)) > 0 {
		t.Errorf("one that is held: %v, owned by %v", err, w.leaseOwners(t))
	}
	key := metav1.ObjectMeta{Namespace: w.o.lease.Namespace, Name: w.o.lease.Name}
	if err := w.Delete(t.Context(), &coordinationv1.Lease{ObjectMeta: key}); err != nil {
		t.Fatal(err)
	}
	if err := w.o.makeLease(t.Context()); err != nil {
		t.Fatal(err)
	}
	var lease coordinationv1.Lease
	if err := w.Get(t.Context(), w.o.lease, &lease); err != nil || len(lease.OwnerReferences) != 1 || lease.OwnerReferences[0] != w.o.owner {
		t.Errorf("%v, owned by %v", err, lease.OwnerReferences)
	}
}

// What is made for an owner that is gone would be removed at once, again and again.
func TestEndsWithAnotherOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOwned(t)
		ended := make(chan error, 1)
		go func() { ended <- w.o.Start(t.Context()) }()
		bubble.Pass(ownerCheckInterval)
		if err := w.Delete(t.Context(), role("first")); err != nil {
			t.Fatal(err)
		}
		bubble.Pass(2 * ownerCheckInterval)
		select {
		case err := <-ended:
			t.Fatalf("ended while the owner is away: %v", err)
		default:
		}
		if err := w.Create(t.Context(), role("second")); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "was replaced") {
			t.Errorf("ended with %v", err)
		}
	})
}
