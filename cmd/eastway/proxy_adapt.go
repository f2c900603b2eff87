package main

import (
	"errors"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/certs"
)

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
