package sim

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
	svids map[svidKey]*x509svid.SVID
}

type svidKey struct {
	cluster      string
	root, serial int
}

// NewPKI has nothing yet.
func NewPKI() *PKI {
	return &PKI{cas: make(map[string][]*certs.CA), svids: make(map[svidKey]*x509svid.SVID)}
}

// root is a cluster's CA of that generation. It is called in a bubble.
func (p *PKI) root(cluster string, generation int) (*certs.CA, error) {
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

// svid is one of a cluster's certificates.
func (p *PKI) svid(k svidKey) (*x509svid.SVID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.svids[k]; s != nil {
		return s, nil
	}
	ca, err := p.rootLocked(k.cluster, k.root)
	if err != nil {
		return nil, err
	}
	s, err := ca.Issue(k.cluster, 0)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	p.svids[k] = s
	return s, nil
}

// id is a cluster's SPIFFE ID.
func clusterID(cluster string) spiffeid.ID {
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
