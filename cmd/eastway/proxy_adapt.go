package main

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// tunnels gives failover a node's streams by failover's own interface.
type tunnels struct{ *tunnel.Node }

func (t tunnels) Open(ctx context.Context, peer string, h *tunnel.Header, avoid []string) (failover.Stream, error) {
	s, err := t.Node.Open(ctx, peer, h, avoid)
	if err != nil {
		return nil, err // not a nil *tunnel.Stream in an interface
	}
	return s, nil
}

// incoming does the same for a peer's stream.
type incoming struct{ *tunnel.Incoming }

func (in incoming) Accept(a *tunnelpb.Answer) (failover.Stream, error) {
	s, err := in.Incoming.Accept(a)
	if err != nil {
		return nil, err
	}
	return s, nil
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
