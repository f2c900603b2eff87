package certs

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Why a handshake was refused, as metrics and logs name it.
const (
	ReasonNoCertificate             = "no_certificate"
	ReasonExpired                   = "expired"
	ReasonNotYetValid               = "not_yet_valid"
	ReasonWrongTrustDomain          = "wrong_trust_domain"
	ReasonWrongID                   = "wrong_id"
	ReasonUnknownAuthority          = "unknown_authority"
	ReasonUnconstrainedIntermediate = "unconstrained_intermediate"
	ReasonBadCertificate            = "bad_certificate"
	ReasonTLSVersion                = "tls_version"
	ReasonALPN                      = "alpn"
	ReasonUnknownPeer               = "unknown_peer"
	// ReasonDenied: the chain is good, but spec.denied of the Peer has it.
	ReasonDenied = "denied"
	// ReasonOwnCertificate: this side has no valid certificate to show.
	ReasonOwnCertificate = "own_certificate"
	// ReasonRefusedByPeer: the other side sent an alert; its log has the reason.
	ReasonRefusedByPeer = "refused_by_peer"
	// ReasonOther is everything else: a timeout, a connection cut off.
	ReasonOther = "other"
)

// Reasons lists everything that Reason returns, so that counters can start at zero.
func Reasons() []string {
	return []string{
		ReasonNoCertificate, ReasonExpired, ReasonNotYetValid, ReasonWrongTrustDomain, ReasonWrongID,
		ReasonUnknownAuthority, ReasonUnconstrainedIntermediate, ReasonBadCertificate, ReasonTLSVersion,
		ReasonALPN, ReasonUnknownPeer, ReasonDenied, ReasonOwnCertificate, ReasonRefusedByPeer, ReasonOther,
	}
}

// VerifyError is why a certificate was not accepted, with the remedy.
type VerifyError struct {
	// Reason is one of the Reason constants.
	Reason string
	// Peer is the peer's name; empty when the certificate is no peer's.
	Peer string
	// ID is what the certificate claims; zero when it has none.
	ID  spiffeid.ID
	Err error
}

func (e *VerifyError) Error() string {
	if e.Peer != "" {
		return fmt.Sprintf("certs: peer %s refused (%s): %v", e.Peer, e.Reason, e.Err)
	}
	return fmt.Sprintf("certs: refused (%s): %v", e.Reason, e.Err)
}

func (e *VerifyError) Unwrap() error { return e.Err }

// Reason maps any error of a handshake, over TCP or QUIC, to one of Reasons; "" for nil.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	if v, ok := errors.AsType[*VerifyError](err); ok && slices.Contains(Reasons(), v.Reason) {
		return v.Reason
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" || isQUICAlert(err.Error()) {
		return ReasonRefusedByPeer
	}
	return tlsReason(err.Error())
}

// isQUICAlert: the text is that of a TLS alert which the peer sent over QUIC (RFC 9001, section 4.8), as quic-go prints it. Its
// type would bring all of QUIC into every command that reads certificates. The tests provoke it over real connections.
func isQUICAlert(text string) bool {
	_, alert, ok := strings.Cut(text, "CRYPTO_ERROR 0x1")
	const digits = 2 // of the alert
	return ok && len(alert) > digits && strings.HasPrefix(alert[digits:], " (remote)")
}

// tlsReason knows errors of crypto/tls that have neither type nor value, only a text. The tests
// provoke those that matter over real connections, so that a change in a Go release is noticed.
func tlsReason(text string) string {
	for _, known := range []struct{ text, reason string }{
		{"tls: client didn't provide a certificate", ReasonNoCertificate},
		{"tls: received empty certificates message", ReasonNoCertificate},
		{"tls: client offered only unsupported versions", ReasonTLSVersion},
		{"tls: client offered TLS version older than", ReasonTLSVersion},
		{"tls: server selected unsupported protocol version", ReasonTLSVersion},
		{"tls: client requested unsupported application protocols", ReasonALPN},
		{"tls: client did not request an application protocol", ReasonALPN},
		{"tls: server selected unadvertised ALPN protocol", ReasonALPN},
		{"tls: server did not select an ALPN protocol", ReasonALPN},
		{"tls: failed to parse c", ReasonBadCertificate}, // "certificate from server", "client certificate"
		{"tls: invalid signature by the", ReasonBadCertificate},
	} {
		if strings.Contains(text, known.text) {
			return known.reason
		}
	}
	return ReasonOther
}
