package certs

import (
	"crypto/tls"
	"math/rand/v2"
	"time"
)

// Lease is how long a connection that was made with ClientConfig or ServerConfig may be used: at renew another one takes its place,
// and at end, when a certificate of either side has expired, whatever the clocks, it is closed.
func (a *Authenticator) Lease(cs tls.ConnectionState) (renew, end time.Time) {
	now := a.now()
	least := now.Add(longLease)
	for _, cert := range cs.PeerCertificates[:min(len(cs.PeerCertificates), 1)] {
		least = earlier(least, cert.NotAfter)
	}
	if own, err := a.certificate(); err == nil {
		least = earlier(least, own.Leaf.NotAfter)
	}
	return lease(now, least, rand.Float64())
}

const (
	// longLease is for certificates that hardly ever expire.
	longLease = 30 * 24 * time.Hour
	// leastLease keeps connections from being replaced all the time while a certificate is not renewed.
	leastLease = time.Minute
)

// lease is for certificates that expire at least. SVIDs are renewed at half of their lives: a little later, both sides have
// another, and streams on the connection have the most time to end. Chance, from 0 to 1, spreads connections.
func lease(now, least time.Time, chance float64) (renew, end time.Time) {
	left := float64(least.Sub(now))
	renew = now.Add(max(time.Duration(left*(0.6+0.15*chance)), leastLease))
	return renew, least.Add(ClockSkew)
}
