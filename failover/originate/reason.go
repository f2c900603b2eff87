package originate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/clip"
)

// Reason is why there is no TLS to an endpoint, in metrics.
type Reason string

// The reasons.
const (
	Expired           Reason = "expired"
	OtherName         Reason = "other_name"
	UnknownAuthority  Reason = "unknown_authority"
	BadCertificate    Reason = "bad_certificate"
	ClientCertificate Reason = "client_certificate"
	Protocol          Reason = "protocol"
	Closed            Reason = "closed"
	Timeout           Reason = "timeout"
	// Own: not the endpoint's fault but that of files or of the identity here.
	Own Reason = "own"
)

// remedy is what to do about it.
func (r Reason) remedy() string {
	switch r {
	case Expired:
		return "renew the endpoint's certificate, or check the clocks"
	case OtherName:
		return "correct sni or subjectAltNames of spec.tls, or give the endpoint a certificate for the name"
	case UnknownAuthority:
		return "name the endpoint's roots in spec.tls: a file by caCertificates, on Kubernetes a Secret by credentialName; without them the roots " +
			"are the system's, or the well-known ones"
	case BadCertificate:
		return "give the endpoint a certificate for TLS servers, with SPIFFE an X.509 SVID"
	case ClientCertificate:
		return "the endpoint wants another client certificate: set mode MUTUAL of spec.tls with one that it trusts"
	case Protocol:
		return "the endpoint needs TLS 1.2 or later on this port, and for HTTP/2 the ALPN h2"
	case Own:
		return "mend the files of spec.tls, 'eastway status' says what is wrong with them; on Kubernetes the Secret of credentialName has them, " +
			"which the chart's proxy.externalCredentials has to name"
	default: // Closed, Timeout
		return "check that the endpoint serves TLS on this port"
	}
}

// Error is why there is no TLS to an endpoint that took the connection. Nothing of the application was sent.
type Error struct {
	Reason   Reason
	Service  discovery.ServiceName
	Endpoint string
	// Expected is what the certificate was to be for.
	Expected string
	Err      error
}

func (e *Error) Error() string {
	return fmt.Sprintf("TLS with %s, which has to be %s: %v: %s", e.Endpoint, e.Expected, clip.Text(e.Err.Error(), maxCause), e.Reason.remedy())
}

func (e *Error) Unwrap() error { return e.Err }

// Brief stays the same while the endpoint fails alike: it has neither address nor remedy.
func (e *Error) Brief() string {
	return fmt.Sprintf("TLS: %s: %v", e.Reason, clip.Text(e.Err.Error(), maxCause))
}

// nameError is a certificate for other names.
type nameError struct{ presented, expected string }

func (e *nameError) Error() string {
	return fmt.Sprintf("the certificate is for %s, expected is %s", e.presented, e.expected)
}

// leafError is a certificate that is no X.509 SVID.
type leafError struct{ err error }

func (e *leafError) Error() string { return e.err.Error() }
func (e *leafError) Unwrap() error { return e.err }

// ownError is a fault on this side.
type ownError struct{ err error }

func (e *ownError) Error() string { return e.err.Error() }
func (e *ownError) Unwrap() error { return e.err }

// reasonOf is what ended a handshake.
func reasonOf(err error) Reason {
	if _, ok := errors.AsType[*ownError](err); ok {
		return Own
	}
	if _, ok := errors.AsType[*nameError](err); ok {
		return OtherName
	}
	if _, ok := errors.AsType[*leafError](err); ok {
		return BadCertificate
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return UnknownAuthority
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return Expired
		}
		return BadCertificate
	}
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return BadCertificate
	}
	timeout, isNetwork := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), isNetwork && timeout.Timeout():
		return Timeout
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Closed
	}
	return Protocol
}

// isRefusal is true for an alert of the endpoint.
func isRefusal(err error) bool {
	alert, ok := errors.AsType[*net.OpError](err)
	return ok && alert.Op == "remote error" // the type of what it wraps is not exported
}
