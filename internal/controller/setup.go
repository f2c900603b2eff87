package controller

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubediscovery "k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/controller/gateway"
	"github.com/eastway/eastway/internal/controller/identity"
	"github.com/eastway/eastway/internal/controller/mcs"
	"github.com/eastway/eastway/internal/controller/peers"
	"github.com/eastway/eastway/internal/controller/policies"
)

// setup connects all parts with the manager.
func (c *Controller) setup(ctx context.Context, m manager.Manager) error {
	if err := c.warm(ctx, m); err != nil {
		return err
	}
	writer, err := apply.NewWriter(m.GetClient(), c.cfg.Registerer)
	if err != nil {
		return err
	}
	owner, err := c.owner(ctx, m.GetAPIReader())
	if err != nil {
		return err
	}
	if err := c.setupOwner(ctx, m, writer, owner); err != nil {
		return err
	}
	for _, part := range []func(manager.Manager, *apply.Writer, *metav1.OwnerReference) error{
		c.setupIdentity, c.setupPeers, func(m manager.Manager, w *apply.Writer, o *metav1.OwnerReference) error {
			return c.setupServices(ctx, m, w, o)
		}, c.setupPolicies, c.setupSiblings, c.setupAgents, c.setupGateways,
	} {
		if err := part(m, writer, owner); err != nil {
			return err
		}
	}
	return nil
}

func (c *Controller) setupIdentity(m manager.Manager, w *apply.Writer, owner *metav1.OwnerReference) error {
	r, err := identity.New(identity.Config{
		Cluster: c.cfg.Cluster, TrustDomain: c.cfg.TrustDomain, Namespace: c.cfg.Namespace,
		CASecret: c.cfg.Names.CASecret, SVIDSecret: c.cfg.Names.SVIDSecret, NodeSecret: c.cfg.Names.NodeSecret, ConfigMap: c.cfg.Names.ConfigMap,
		PublicAddresses: c.cfg.PublicAddresses, TunnelServices: c.cfg.Names.TunnelServices,
		Client: m.GetClient(), Direct: m.GetAPIReader(), Writer: w, Holder: c.cfg.Identity, Owner: owner,
		Report: c.ready.setIdentity, Events: recorder(m),
		Log: c.log.Named("identity"), Registerer: c.cfg.Registerer,
	})
	if err != nil {
		return err
	}
	return r.Setup(m)
}

func (c *Controller) setupPeers(m manager.Manager, w *apply.Writer, _ *metav1.OwnerReference) error {
	cfg := peers.Config{
		Cluster: c.cfg.Cluster, Namespace: c.cfg.Namespace, Catalog: c.cfg.Catalog, Client: m.GetClient(), Writer: w,
		Events: recorder(m), Log: c.log.Named("peers"),
		OwnID: func() string {
			svid, err := c.cfg.Identity.GetX509SVID()
			if err != nil {
				return "" // there is none yet
			}
			return svid.ID.String()
		},
	}
	if c.cfg.Siblings != nil {
		cfg.States = c.cfg.Siblings.PeerStates
	}
	r, err := peers.New(cfg)
	if err != nil {
		return err
	}
	return r.Setup(m)
}

func (c *Controller) setupServices(ctx context.Context, m manager.Manager, w *apply.Writer, owner *metav1.OwnerReference) error {
	ports, err := mcs.NewPorts(c.cfg.Ports, c.cfg.Registerer)
	if err != nil {
		return err
	}
	r, err := mcs.New(mcs.Config{
		Cluster: c.cfg.Cluster, Namespace: c.cfg.Namespace, ProxiesService: c.cfg.Names.ProxiesService,
		Client: m.GetClient(), Writer: w, Catalog: c.cfg.Catalog, Ports: ports, Owner: owner,
		Events: recorder(m), Log: c.log.Named("services"),
	})
	if err != nil {
		return err
	}
	return r.Setup(ctx, m)
}

func (c *Controller) setupPolicies(m manager.Manager, w *apply.Writer, _ *metav1.OwnerReference) error {
	return (&policies.Reconciler{Client: m.GetClient(), Writer: w}).Setup(m)
}

func (c *Controller) setupGateways(m manager.Manager, w *apply.Writer, owner *metav1.OwnerReference) error {
	if c.cfg.Gateways.EntryService == "" {
		return nil
	}
	server, err := kubediscovery.NewDiscoveryClientForConfig(c.cfg.REST)
	if err != nil {
		return fmt.Errorf("controller: access to the API server: %w", err)
	}
	r, err := gateway.New(gateway.Config{
		Settings: c.cfg.Gateways, Namespace: c.cfg.Namespace, Client: m.GetClient(), Direct: m.GetAPIReader(), Writer: w, Owner: owner,
		Events: recorder(m), Log: c.log.Named("gateways"), Registerer: c.cfg.Registerer,
	})
	if err != nil {
		return err
	}
	return r.Setup(m, server)
}

func (c *Controller) setupSiblings(m manager.Manager, _ *apply.Writer, _ *metav1.OwnerReference) error {
	if c.cfg.Siblings == nil {
		return nil
	}
	p := &proxies{
		client: m.GetClient(), namespace: c.cfg.Namespace, service: c.cfg.Names.ProxiesService,
		identity: c.cfg.Identity, siblings: c.cfg.Siblings, log: c.log.Named("siblings"),
	}
	return p.setup(m)
}

// recorder writes events of the core API, which the chart's role allows.
func recorder(m manager.Manager) record.EventRecorder {
	return m.GetEventRecorderFor("eastway-controller") //nolint:staticcheck // events.k8s.io takes another right in each installation
}
