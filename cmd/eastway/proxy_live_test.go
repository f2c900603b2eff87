package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/eastway/eastway/internal/status"
)

// Changes of the manifests apply to the running proxy, each without touching anything else.
func TestLiveConfig(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	shop, cart, one, two := newAddress(), newAddress(), newAddress(), newAddress()
	startApp(t, "one", one)
	startApp(t, "two", two)
	a.write(t, "shop.yaml", serviceManifest("shop", shop, endpoint{one, "aa-1"}))
	a.write(t, "cart.yaml", serviceManifest("cart", cart, endpoint{one, "aa-1"}))
	a.trust(t, b, b.tunnel())
	b.trust(t, a)
	pb, p := b.start(t), a.start(t)
	p.connected(t, "bb")
	mustCall(t, cart, "one")
	open, err := dialService(t, shop)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		t.Helper()
		if got, err := open.ask("hello"); err != nil || got != "one" {
			t.Fatalf("the open connection: %q, %v", got, err)
		}
	}
	ask()

	a.write(t, "shop.yaml", serviceManifest("shop", shop, endpoint{one, "aa-1"}, endpoint{two, "aa-1"}))
	eventually(t, "the new endpoint answers", func() error {
		if got, err := call(t, shop); err != nil || got != "two" {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	})
	ask()

	a.write(t, "shop.yaml", serviceManifest("shop", shop, endpoint{two, "aa-1"}))
	eventually(t, "only the new endpoint answers", func() error {
		for range 5 {
			if got, err := call(t, shop); err != nil || got != "two" {
				return fmt.Errorf("%q, %w", got, err)
			}
		}
		return nil
	})
	ask() // an endpoint that is gone from the list keeps its connections

	a.remove(t, "cart.yaml")
	eventually(t, "cart is not listened for", func() error {
		if got, err := call(t, cart); err == nil {
			return fmt.Errorf("answered by %q", got)
		}
		return nil
	})
	ask()

	changePolicy(t, p, shop)
	ask()

	a.remove(t, "peer-bb.yaml")
	eventually(t, "the tunnel is closed", func() error {
		if st := p.status(t); len(st.Peers) > 0 {
			return fmt.Errorf("%+v", st.Peers)
		}
		if st := pb.status(t).Peers; len(st) != 1 || len(st[0].Links) > 0 {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	ask()
	a.trust(t, b, b.tunnel())
	p.connected(t, "bb")
	ask()
}

// changePolicy makes a dead endpoint of shop be ejected at the first failure, which by default takes three.
func changePolicy(t *testing.T, p *proxyRun, shop string) {
	t.Helper()
	live, dead := newAddress(), newAddress()
	startApp(t, "live", live)
	const policy = `apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata:
  name: shop
spec:
  targetRef:
    kind: Service
    name: shop
  outlierDetection:
    consecutiveLocalOriginFailures: %d
    baseEjectionTime: 1h
`
	checked := func() string {
		for _, e := range p.endpoints(t, "shop") {
			if e.Address == dead+":"+servicePort {
				return e.OutlierCheck
			}
		}
		return ""
	}
	p.site.write(t, "policy.yaml", fmt.Sprintf(policy, 0)) // never; there before the endpoints are
	p.site.write(t, "shop.yaml", serviceManifest("shop", shop, endpoint{live, "aa-1"}, endpoint{dead, "aa-1"}))
	eventually(t, "both endpoints are used", func() error {
		if checked() == "" {
			return errors.New("not yet")
		}
		return nil
	})
	const enough = 20
	for range enough {
		mustCall(t, shop, "live")
	}
	if got := checked(); got != status.CheckOK {
		t.Errorf("without ejection the dead endpoint is %s", got)
	}
	p.site.write(t, "policy.yaml", fmt.Sprintf(policy, 1))
	eventually(t, "the dead endpoint is ejected", func() error {
		mustCall(t, shop, "live")
		if got := checked(); got != status.CheckFailed {
			return errors.New(got)
		}
		return nil
	})
}
