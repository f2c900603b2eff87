package main

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// trustOf is what a Peer manifest has accepted and denied.
func trustOf(name string, spec *v1alpha1.PeerSpec) (certs.Peer, error) {
	p, err := certs.ParsePeer(name, spec.SPIFFEID, spec.TrustBundle)
	if err != nil {
		return p, err
	}
	for i, d := range spec.Denied {
		if d.SPIFFEID != "" {
			p.Denied = true
			continue
		}
		serial, err := v1alpha1.ParseSerial(d.Serial)
		if err != nil {
			return p, fmt.Errorf("spec.denied[%d].serial %q: %w", i, d.Serial, err)
		}
		p.DeniedSerials = append(p.DeniedSerials, serial)
	}
	return p, nil
}

// validatePeer names the field of a Peer manifest that certs finds wrong.
func validatePeer(name, spiffeID, bundle string) error {
	_, err := certs.ParsePeer(name, spiffeID, bundle)
	if wrong, ok := errors.AsType[*certs.FieldError](err); ok {
		return &field.Error{
			Type: field.ErrorTypeForbidden, Field: wrong.Field, BadValue: field.OmitValueType{}, Detail: wrong.Err.Error(),
		}
	}
	return err
}

// doubtPeer says that the roots of a Peer that is valid end.
func doubtPeer(name, spiffeID, bundle string) string {
	p, err := certs.ParsePeer(name, spiffeID, bundle)
	if err != nil {
		return ""
	}
	return certs.Ending(p.Bundle, time.Now())
}
