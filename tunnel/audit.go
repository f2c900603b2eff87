package tunnel

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/source"
	"github.com/eastway/eastway/tunnel/transport"
)

// audit is what the log has of who is at the other end of a new link: with the serial number the certificate can be denied.
func audit(sess transport.Session) []zap.Field {
	_, remote := sess.Addrs()
	fields := []zap.Field{zap.Stringer("address", remote)}
	for _, cert := range sess.TLS().PeerCertificates[:min(len(sess.TLS().PeerCertificates), 1)] {
		fields = append(fields, zap.String("serial", fmt.Sprintf("%X", cert.SerialNumber.Bytes())), zap.Time("not_after", cert.NotAfter))
	}
	return fields
}

// fromNewAddress returns true, and counts, when a peer's replica has connected from an address that the peer did not use before.
func (n *Node) fromNewAddress(peer string, sess transport.Session) bool {
	if peer == n.cfg.Cluster {
		return false // pods of the own cluster come and go
	}
	_, remote := sess.Addrs()
	n.mu.Lock()
	p := n.peers[peer]
	isNew := p != nil && p.origins.New(source.Of(remote))
	n.mu.Unlock()
	if isNew {
		n.metrics.NewAddress(peer)
	}
	return isNew
}
