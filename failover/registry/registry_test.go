package registry

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := New()
	add := func(owner string, out bool) (context.Context, *Tracked, error) {
		if !out {
			return r.AddInbound(t.Context(), owner, "shop/echo", netip.Prefix{}, 2, 9)
		}
		return r.AddOutbound(t.Context(), owner, netip.Prefix{}, 2, 3)
	}
	if _, _, err := add("a", true); !errors.Is(err, ErrDraining) {
		t.Errorf("before it takes connections: %v", err)
	}
	r.Refuse(nil)
	<-r.Idle()
	ctx, first, err := add("a", true)
	if err != nil {
		t.Fatal(err)
	}
	_, second, _ := add("a", true)
	if _, _, err := add("a", true); !errors.Is(err, ErrTooMany) {
		t.Errorf("above the owner's limit: %v", err)
	}
	_, third, _ := add("b", true)
	if _, _, err := add("c", true); !errors.Is(err, ErrTooMany) {
		t.Errorf("above the limit of all: %v", err)
	}
	_, inbound, err := add("peer", false)
	_, another, _ := add("peer", false)
	if _, _, err := add("peer", false); !errors.Is(err, ErrTooMany) {
		t.Errorf("above the peer's limit: %v", err)
	}
	r.Remove(another)
	if err != nil || r.Len() != 4 {
		t.Errorf("a peer's stream counts among outbound ones: %v, %d in flight", err, r.Len())
	}
	r.Refuse(ErrStopped)
	if _, _, err := add("d", false); !errors.Is(err, ErrStopped) || !errors.Is(r.Refusing(), ErrStopped) {
		t.Errorf("while stopping: %v", err)
	}
	r.Abort(ErrStopped)
	if <-ctx.Done(); !errors.Is(context.Cause(ctx), ErrStopped) {
		t.Errorf("aborted because of %v", context.Cause(ctx))
	}
	idle := r.Idle()
	for _, c := range []*Tracked{first, second, third} {
		r.Remove(c)
	}
	select {
	case <-idle:
		t.Error("idle with a connection in flight")
	default:
	}
	r.Remove(inbound)
	<-idle
	if len(r.perOwner) != 0 || len(r.held) != 0 || r.outbound != 0 {
		t.Errorf("left: %v, %v, %d", r.perOwner, r.held, r.outbound)
	}
}
