package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/tunnel"
)

// peer is a simulated cluster: one proxy of its own without listeners for services.
type peer struct {
	name     string
	of       string // the cluster that is measured
	metrics  *prometheus.Registry
	identity *certs.CASource
	auth     *certs.Authenticator
	catalog  *discovery.Catalog
	node     *tunnel.Node
	local    discovery.Local
	parts    *errgroup.Group
	stop     context.CancelFunc
}

// readyPods behind each service of a peer.
const readyPods = 2

// newPeer starts peer number n of the cluster, with its tunnels at that address of this computer.
func newPeer(ctx context.Context, o *options, n int, cluster, address string) (*peer, error) {
	p := &peer{name: fmt.Sprintf("peer-%02d", n), of: cluster, metrics: prometheus.NewRegistry()}
	if err := p.identify(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	p.catalog = discovery.NewCatalog(p.metrics)
	first, last := o.share(n)
	for i := first; i < last; i++ {
		p.local.Services = p.local.Services.With(remote(i), p.service(i, readyPods))
	}
	exchange, err := discovery.NewExchange(discovery.ExchangeConfig{Cluster: p.name, Catalog: p.catalog, Registerer: p.metrics})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	p.node, err = tunnel.New(ctx, tunnel.Config{
		Cluster: p.name, Region: p.region(), Zone: p.region() + "-a", Version: "scale", Listen: net.JoinHostPort(address, "0"),
		Credentials: p.auth, Reason: certs.Reason,
		Handle: func(in *tunnel.Incoming) { _ = in.Refuse(tunnel.Code(0), "simulated", 0) },
		Messages: func(ctx context.Context, l tunnel.Link, c tunnel.MessageConn) error {
			return exchange.Serve(ctx, l.Peer, l.Replica, c)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	ctx, p.stop = context.WithCancel(ctx)
	p.parts, ctx = errgroup.WithContext(ctx)
	p.parts.Go(func() error { return p.identity.Run(ctx) })
	p.parts.Go(func() error { return p.node.Run(ctx) })
	return p, nil
}

func (p *peer) region() string { return "region-" + p.name }

// identify makes a CA and a trust domain of its own.
func (p *peer) identify() error {
	td, err := spiffeid.TrustDomainFromString(p.name + ".scale.test")
	if err != nil {
		return err
	}
	ca, err := certs.NewCA(certs.Options{TrustDomain: td})
	if err != nil {
		return err
	}
	if p.identity, err = certs.NewCASource(certs.CASourceConfig{CA: ca, Name: p.name}); err != nil {
		return err
	}
	p.auth, err = certs.NewAuthenticator(certs.Config{Source: p.identity})
	return err
}

// manifest is the peer's manifest for the cluster.
func (p *peer) manifest() (v1alpha1.PeerSpec, error) {
	svid, err := p.identity.GetX509SVID()
	if err != nil {
		return v1alpha1.PeerSpec{}, fmt.Errorf("%s: %w", p.name, err)
	}
	bundle, err := certs.MarshalBundle(p.identity.Bundle(), certs.PEM)
	if err != nil {
		return v1alpha1.PeerSpec{}, fmt.Errorf("%s: %w", p.name, err)
	}
	return v1alpha1.PeerSpec{
		SPIFFEID: svid.ID.String(), TrustBundle: string(bundle), Addresses: []string{p.node.Addr().String()},
		Quota: &v1alpha1.ImportQuota{Services: maxServices, Ports: maxServices},
	}, nil
}

// trust the cluster, which dials.
func (p *peer) trust(manifest *v1alpha1.Peer) error {
	from, err := certs.ParsePeer(manifest.Name, manifest.Spec.SPIFFEID, manifest.Spec.TrustBundle)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if err := p.auth.SetPeers([]certs.Peer{from}); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.local.Peers = map[string]*discovery.Peer{p.of: {Name: p.of, Spec: manifest.Spec}}
	p.catalog.SetLocal(p.local)
	p.node.SetPeers([]tunnel.Peer{{Name: p.of}})
	return nil
}

// service i of those that the peers export, with so many of readyPods ready.
func (p *peer) service(i, ready int) *discovery.Service {
	at := discovery.Locality{Region: p.region(), Zone: p.region() + "-a"}
	s := &discovery.Service{
		Name: remote(i), Ports: []discovery.ServicePort{{Name: "http", Port: servicePort, Protocol: discovery.TCP}},
		Spec:   discovery.ServiceSpec{IPFamilies: []string{"IPv4"}},
		Export: &discovery.Export{Created: time.Unix(1, 0).UTC()}, // older than the cluster's own
	}
	var all []discovery.Endpoint
	for k := range readyPods {
		all = append(all, discovery.Endpoint{Address: netip.AddrPortFrom(podAddress(i, k), podPort), Locality: at, Ready: k < ready})
	}
	s.Endpoints = map[uint16][]discovery.Endpoint{servicePort: all}
	return s
}

// setReady says how many pods of service i are ready.
func (p *peer) setReady(i, ready int) {
	p.local.Services = p.local.Services.With(remote(i), p.service(i, ready))
	p.catalog.SetLocal(p.local)
}

// readyOf is how many pods of service i the cluster has said to be ready.
func readyOf(s *discovery.Snapshot, i int) int {
	service := s.Services.Get(own(i))
	ready := 0
	if service != nil {
		for i := range service.Peers {
			for _, r := range service.Peers[i].Readiness {
				ready += int(r.Ready)
			}
		}
	}
	return ready
}

// hears returns once the cluster has said that so many pods of service i are ready.
func (p *peer) hears(ctx context.Context, i, ready int) error {
	for {
		changed := p.catalog.Changed()
		is := readyOf(p.catalog.Snapshot(), i)
		if is == ready {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s has not heard that %d pods of %s are ready, but %d: %w", p.name, ready, own(i), is, context.Cause(ctx))
		}
	}
}

// complete is nil when the peer holds that many services of the cluster, reported by that many proxies.
func (p *peer) complete(services, proxies int) error {
	families, err := p.metrics.Gather()
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	is := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			is[f.GetName()] = int(m.GetGauge().GetValue())
		}
	}
	if s, r := is["eastway_discovery_peer_services"], is["eastway_discovery_peer_replicas"]; s != services || r != proxies {
		return fmt.Errorf("%s holds %d of %d services, reported by %d of %d proxies", p.name, s, services, r, proxies)
	}
	return nil
}

// close it and wait.
func (p *peer) close() error {
	p.stop()
	if err := p.parts.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}
