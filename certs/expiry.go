package certs

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"

	"github.com/eastway/eastway/internal/clip"
)

const (
	// rootsEndSoon is how long before the last root of a bundle expires operators have to know: both sides take part in replacing it.
	rootsEndSoon = 30 * 24 * time.Hour
	// rootsEndShare is which part of its life that is at most: of roots that live for a day, a program has added the next one before.
	rootsEndShare = 5
)

// Ending is what an operator has to know of the root of a bundle that expires last: that it has expired, or will soon. Empty: nothing.
func Ending(b *x509bundle.Bundle, now time.Time) string {
	var last *x509.Certificate
	for _, c := range b.X509Authorities() {
		if last == nil || c.NotAfter.After(last.NotAfter) {
			last = c
		}
	}
	if last == nil || now.Before(last.NotAfter.Add(-min(rootsEndSoon, last.NotAfter.Sub(last.NotBefore)/rootsEndShare))) {
		return ""
	}
	text := "its last root, %q, expires at %s: nothing below it is accepted then"
	if now.After(last.NotAfter) {
		text = "its last root, %q, expired at %s: nothing below it is accepted"
	}
	return fmt.Sprintf(text, clip.Text(last.Subject.String(), maxSubject), stamp(last.NotAfter))
}

// Problems are what is wrong with the peers' trust bundles at that time, in the order of their names.
func (a *Authenticator) Problems(now time.Time) []string {
	var out []string
	peers := a.peers.Load().byName
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		p := peers[name]
		if ending := Ending(p.Bundle, now); ending != "" {
			out = append(out, fmt.Sprintf("trust bundle of peer %s: %s; replace the root there, and import its new manifest before", p.Name, ending))
		}
	}
	return out
}
