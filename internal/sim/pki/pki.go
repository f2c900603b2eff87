// Package pki makes the keys and certificates of simulated clusters once.
package pki

import (
	"fmt"
	"sync"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/certs"
)

// PKI has the keys and certificates of all worlds: every bubble begins at the same time, so that they are made once.
type PKI struct {
	mu    sync.Mutex
	cas   map[string][]*certs.CA // by cluster; each is the root after the one before
	svids map[Key]*x509svid.SVID
}

// Key names one certificate.
type Key struct {
	Cluster      string
	Root, Serial int
}

// New has nothing yet.
func New() *PKI {
	return &PKI{cas: make(map[string][]*certs.CA), svids: make(map[Key]*x509svid.SVID)}
}

// Root is a cluster's CA of that generation. It is called in a bubble.
func (p *PKI) Root(cluster string, generation int) (*certs.CA, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rootLocked(cluster, generation)
}

func (p *PKI) rootLocked(cluster string, generation int) (*certs.CA, error) {
	for len(p.cas[cluster]) <= generation {
		td, err := certs.DefaultTrustDomain(cluster)
		if err != nil {
			return nil, fmt.Errorf("sim: %w", err)
		}
		ca, err := certs.NewCA(certs.Options{TrustDomain: td})
		if err != nil {
			return nil, fmt.Errorf("sim: %w", err)
		}
		p.cas[cluster] = append(p.cas[cluster], ca)
	}
	return p.cas[cluster][generation], nil
}

// SVID is one of a cluster's certificates.
func (p *PKI) SVID(k Key) (*x509svid.SVID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.svids[k]; s != nil {
		return s, nil
	}
	ca, err := p.rootLocked(k.Cluster, k.Root)
	if err != nil {
		return nil, err
	}
	s, err := ca.Issue(k.Cluster, 0)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	p.svids[k] = s
	return s, nil
}

// ClusterID is a cluster's SPIFFE ID.
func ClusterID(cluster string) spiffeid.ID {
	td, err := certs.DefaultTrustDomain(cluster)
	if err != nil {
		panic(err) // names are ours
	}
	id, err := certs.ClusterID(td, cluster)
	if err != nil {
		panic(err)
	}
	return id
}
