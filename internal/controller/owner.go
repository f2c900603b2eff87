package controller

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/eastway/eastway/internal/controller/apply"
)

// ownerCheckInterval is the time between two looks at the owner: one small request.
const ownerCheckInterval = 30 * time.Second

// owner is the owner of the objects that the controller makes; nil: they have none.
func (c *Controller) owner(ctx context.Context, r client.Reader) (*metav1.OwnerReference, error) {
	if c.cfg.Names.OwnerClusterRole == "" {
		return nil, nil
	}
	var role rbacv1.ClusterRole
	if err := r.Get(ctx, client.ObjectKey{Name: c.cfg.Names.OwnerClusterRole}, &role); err != nil {
		return nil, fmt.Errorf("controller: read ClusterRole %s, which is to own what the controller creates: %w",
			c.cfg.Names.OwnerClusterRole, err)
	}
	return &metav1.OwnerReference{
		APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole", Name: role.Name, UID: role.UID,
	}, nil
}

func (c *Controller) setupOwner(ctx context.Context, m manager.Manager, w *apply.Writer, owner *metav1.OwnerReference) error {
	if owner == nil {
		return nil
	}
	o := &ownership{
		reader: m.GetAPIReader(), writer: w, owner: *owner, log: c.log.Named("owner"),
		lease: client.ObjectKey{Namespace: c.cfg.Namespace, Name: c.cfg.Names.Lease},
	}
	o.report(o.makeLease(ctx))
	return m.Add(o)
}

// ownership checks the owner of all objects while this replica leads: Kubernetes removes the objects of an owner that is gone,
// even if another one has taken its name.
type ownership struct {
	reader client.Reader
	writer *apply.Writer
	owner  metav1.OwnerReference
	lease  client.ObjectKey
	log    *zap.Logger

	lastError string // the last one logged
}

// Start implements manager.Runnable. The error ends the process; the next one starts with the current owner.
func (o *ownership) Start(ctx context.Context) error {
	ticker := time.NewTicker(ownerCheckInterval)
	defer ticker.Stop()
	for {
		if err := o.check(ctx); err != nil {
			return err
		}
		if err := o.ownLease(ctx); ctx.Err() == nil {
			o.report(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// check fails if the owner was replaced. One that is gone was removed with the installation, or will be replaced.
func (o *ownership) check(ctx context.Context) error {
	var role rbacv1.ClusterRole
	if err := o.reader.Get(ctx, client.ObjectKey{Name: o.owner.Name}, &role); err != nil || role.UID == o.owner.UID {
		return nil //nolint:nilerr // without an answer nothing is known, and other parts report the API server
	}
	return fmt.Errorf("controller: ClusterRole %s was replaced: Kubernetes removes what belongs to the old one; "+
		"a restart makes it again for the new one", o.owner.Name)
}

// makeLease makes the lease before leader election does, which cannot set an owner. It has no holder yet.
func (o *ownership) makeLease(ctx context.Context) error {
	switch err := o.reader.Get(ctx, o.lease, &coordinationv1.Lease{}); {
	case err == nil:
		return nil
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read Lease %s: %w", o.lease, err)
	}
	if err := o.writer.Create(ctx, o.wanted()); !apierrors.IsAlreadyExists(err) { // else another replica was faster
		return err
	}
	return nil
}

// ownLease sets the owner of a lease that was made without one.
func (o *ownership) ownLease(ctx context.Context) error {
	var is coordinationv1.Lease
	switch err := o.reader.Get(ctx, o.lease, &is); {
	case apierrors.IsNotFound(err):
		return nil // the leader makes it again
	case err != nil:
		return fmt.Errorf("read Lease %s: %w", o.lease, err)
	case apply.OwnedBy(&is, &o.owner):
		return nil
	}
	return o.writer.Apply(ctx, o.wanted())
}

func (o *ownership) wanted() *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.lease.Namespace, Name: o.lease.Name, OwnerReferences: []metav1.OwnerReference{o.owner},
	}}
}

// report logs an error once. It does not end the work: a lease that stays behind is harmless.
func (o *ownership) report(err error) {
	was := o.lastError
	o.lastError = ""
	if err == nil {
		return
	}
	if o.lastError = err.Error(); o.lastError != was {
		o.log.Warn("the lease has no owner: it will stay when the installation is removed", zap.Error(err))
	}
}
