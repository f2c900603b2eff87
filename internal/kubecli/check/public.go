package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/peering"
)

// publicTimeout bounds one handshake.
const publicTimeout = 5 * time.Second

// publicAddresses dials what peers dial, and requires this cluster's own certificate there. It stops after the handshake.
func (f *facts) publicAddresses(ctx context.Context) []Result {
	own, err := f.getOwn(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if len(own.Peer.Spec.Addresses) == 0 {
		return one(skip("this cluster has no public address"))
	}
	var results []Result
	for _, address := range own.Peer.Spec.Addresses {
		results = append(results,
			reached("TCP", address, own, func(cfg *tls.Config) error { return dialTLS(ctx, address, cfg) }),
			reached("UDP (QUIC)", address, own, func(cfg *tls.Config) error { return dialQUIC(ctx, address, cfg) }))
	}
	return results
}

// errStranger: the certificate is not this cluster's.
var errStranger = errors.New("another program answers")

func reached(how, address string, own peering.Manifest, dial func(*tls.Config) error) Result {
	var proved atomic.Bool // QUIC shakes hands in a goroutine of its own
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{certs.ALPN},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection below verifies, as SPIFFE does: by ID, not by host name
		VerifyConnection: func(cs tls.ConnectionState) error {
			id, _, err := x509svid.Verify(cs.PeerCertificates, own.Identity.Bundle)
			if err != nil {
				return fmt.Errorf("%w: %w", errStranger, err)
			}
			if id != own.Identity.ID {
				return fmt.Errorf("%w: %s", errStranger, id)
			}
			proved.Store(true)
			return nil
		},
	}
	err := dial(cfg)
	switch {
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return skip("%s is not tried on %s: this machine has no route for its IP family: %v", address, how, err)
	case proved.Load():
		return ok("%s answers on %s", address, how)
	case errors.Is(err, errStranger):
		return fail("%s is reached on %s, but %v", address, how, err).hint("does the address belong to this cluster's tunnel Service?")
	default:
		return fail("%s is not reached from here on %s: %v", address, how, err).
			hint("firewall, load balancer, or only reachable from elsewhere? peers may reach it where this machine does not")
	}
}

func dialTLS(ctx context.Context, address string, cfg *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, publicTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func dialQUIC(ctx context.Context, address string, cfg *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, publicTimeout)
	defer cancel()
	conn, err := quic.DialAddr(ctx, address, cfg, nil)
	if err != nil {
		return err
	}
	return conn.CloseWithError(0, "")
}
