package originate

import (
	"crypto/x509"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// SystemRoots are the roots of the host, or the well-known ones where it has none. Reading them takes milliseconds.
func SystemRoots() *x509.CertPool { return rootsOr(x509.SystemCertPool()) }

// rootsOr are the roots of the host, or the well-known ones that are built in where it has none: so it is in a container from scratch.
func rootsOr(own *x509.CertPool, err error) *x509.CertPool {
	if err == nil && !own.Equal(x509.NewCertPool()) {
		return own
	}
	pool := x509.NewCertPool()
	for r := range bundle.Roots() {
		c, err := x509.ParseCertificate(r.Certificate)
		switch {
		case err != nil: // not reached: the bundle's own tests parse all
		case r.Constraint == nil:
			pool.AddCert(c)
		default:
			pool.AddCertWithConstraint(c, r.Constraint)
		}
	}
	return pool
}
