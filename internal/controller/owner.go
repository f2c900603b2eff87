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

// owner is the object that owns what this controller makes; nil: none.
func (c *Controller) owner(ctx context.Context, r client.Reader) (*metav1.OwnerReference, error) {
	if c.cfg.Names.OwnerClusterRole == "" {
		return nil, nil
	}
	var role rbacv1.ClusterRole
	if err := r.Get(ctx, client.ObjectKey{Name: c.cfg.Names.OwnerClusterRole}, &role); err != nil {
		return nil, fmt.Errorf("controller: read ClusterRole %s, which shall own what the controller makes: %w",
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
	o.tell(o.makeLease(ctx))
	return m.Add(o)
}

// ownership is the leader's look at the owner of everything: Kubernetes removes what belongs to an owner that is gone, also
// when another one of that name has come.
type ownership struct {
	reader client.Reader
	writer *apply.Writer
	owner  metav1.OwnerReference
	lease  client.ObjectKey
	log    *zap.Logger

	complaint string // the error told last
}

// Start implements manager.Runnable. The error ends the process: the next one starts with the owner that is there then.
func (o *ownership) Start(ctx context.Context) error {
	ticker := time.NewTicker(ownerCheckInterval)
	defer ticker.Stop()
	for {
		if err := o.check(ctx); err != nil {
			return err
		}
		if err := o.ownLease(ctx); ctx.Err() == nil {
			o.tell(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// check fails when the owner is another one by now. One that is gone goes with the installation, or comes back as another one.
func (o *ownership) check(ctx context.Context) error {
	var role rbacv1.ClusterRole
	if err := o.reader.Get(ctx, client.ObjectKey{Name: o.owner.Name}, &role); err != nil || role.UID == o.owner.UID {
		return nil //nolint:nilerr // without an answer nothing is known, and other parts complain of the API server
	}
	return fmt.Errorf("controller: ClusterRole %s was removed and made anew: what belongs to the old one is removed by Kubernetes; "+
		"a new start makes it again for the new one", o.owner.Name)
}

// makeLease before leader election does, which can't give it an owner. It is not held yet.
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

// ownLease gives the lease its owner, if it was made without.
func (o *ownership) ownLease(ctx context.Context) error {
	var is coordinationv1.Lease
	switch err := o.reader.Get(ctx, o.lease, &is); {
	case apierrors.IsNotFound(err):
		return nil // the leader makes it anew
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

// tell complains once of what does not end the work: a lease that stays behind is harmless.
func (o *ownership) tell(err error) {
	was := o.complaint
	o.complaint = ""
	if err == nil {
		return
	}
	if o.complaint = err.Error(); o.complaint != was {
		o.log.Warn("the lease has no owner: it will stay when the installation is removed", zap.Error(err))
	}
}
