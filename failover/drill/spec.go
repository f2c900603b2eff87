package drill

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
)

// Kind is what happens to a call of a run.
type Kind string

// Kinds of runs. The first three differ in what their scope has to name.
const (
	// ServiceLoss: it loses the service's endpoints in one cluster, the own one if the scope names none.
	ServiceLoss Kind = "service-loss"
	// ZoneLoss: it loses the endpoints in one zone.
	ZoneLoss Kind = "zone-loss"
	// RegionLoss: it loses the endpoints in one region, those of peers too.
	RegionLoss Kind = "region-loss"
	// Latency: it waits if it would go there.
	Latency Kind = "latency"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{RegionLoss, ZoneLoss, ServiceLoss, Latency} }

// Scope is which endpoints are lost to which calls. Empty fields leave open what they name.
type Scope struct {
	// Service and Port are those that the calls are for.
	Service discovery.ServiceName `json:"service,omitzero"`
	Port    uint16                `json:"port,omitempty"`
	// Cluster, Region and Zone are those of the endpoints.
	Cluster string `json:"cluster,omitempty"`
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
}

// String is what ParseScope reads.
func (s Scope) String() string {
	var parts []string
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+"="+value)
		}
	}
	if s.Service != (discovery.ServiceName{}) {
		add("service", s.Service.String())
	}
	if s.Port != 0 {
		add("port", fmt.Sprint(s.Port))
	}
	add("cluster", s.Cluster)
	add("region", s.Region)
	add("zone", s.Zone)
	return strings.Join(parts, ",")
}

// ofCall is true for calls of the service and port.
func (s *Scope) ofCall(k balance.Key) bool {
	return (s.Service == discovery.ServiceName{} || s.Service == k.Service) && (s.Port == 0 || s.Port == k.Port)
}

// has is true for a candidate within the scope. A zone names endpoints of the own cluster only: of a peer, one candidate stands for
// all zones and regions, and counts as being where its nearest endpoint is.
func (s *Scope) has(c *balance.Candidate) bool {
	return (s.Cluster == "" || s.Cluster == c.Cluster) && (s.Region == "" || s.Region == c.Locality.Region) &&
		(s.Zone == "" || s.Zone == c.Locality.Zone && c.Peer == "")
}

// Spec is what an operator asks for.
type Spec struct {
	Kind  Kind  `json:"kind"`
	Scope Scope `json:"scope"`
	// Percent of the calls of the scope, by chance, from 0.01 to 100.
	Percent float64 `json:"percent"`
	// Callers are the addresses that the calls come from; empty: any.
	Callers []netip.Prefix `json:"callers,omitempty"`
	// Delay is how long each call of a latency drill waits.
	Delay time.Duration `json:"delay,omitempty"`
	// For is how long the run lasts at most.
	For time.Duration `json:"for"`
	// Budget is how many affected calls may fail: one more ends it.
	Budget int `json:"budget"`
}

// Validate names the first field that is wrong, and what it may be.
func (s *Spec) Validate() error {
	return errors.Join(s.validateScope(), s.validateBounds())
}

func (s *Spec) validateScope() error {
	none := discovery.ServiceName{}
	switch {
	case s.Kind == ServiceLoss && s.Scope.Service == none:
		return fmt.Errorf("scope of %s: name the service", s.Kind)
	case s.Kind == ZoneLoss && s.Scope.Zone == "":
		return fmt.Errorf("scope of %s: name the zone", s.Kind)
	case s.Kind == RegionLoss && (s.Scope.Region == "" || s.Scope.Zone != ""):
		return fmt.Errorf("scope of %s: name the region, and no zone, which is lost by %s", s.Kind, ZoneLoss)
	case s.Kind == Latency && s.Scope == Scope{}:
		return fmt.Errorf("scope of %s: name a service, cluster, region or zone", s.Kind)
	case !slices.Contains(Kinds(), s.Kind):
		return fmt.Errorf("kind %q: it is one of %v", s.Kind, Kinds())
	case s.Scope.Port != 0 && s.Scope.Service == none:
		return errors.New("scope: a port is that of a service; name the service too")
	}
	return nil
}

func (s *Spec) validateBounds() error {
	switch {
	case !(s.Percent >= minPercent && s.Percent <= 100):
		return fmt.Errorf("percent %v: it must be from %v to 100", s.Percent, minPercent)
	case s.For <= 0 || s.For > MaxTime:
		return fmt.Errorf("time %v: it must be above 0 and at most %v", s.For, MaxTime)
	case s.Budget < 0:
		return fmt.Errorf("error budget %d: it must not be negative", s.Budget)
	case len(s.Callers) > maxCallers:
		return fmt.Errorf("%d networks of callers: %d at most", len(s.Callers), maxCallers)
	case s.Kind == Latency && (s.Delay <= 0 || s.Delay > MaxDelay):
		return fmt.Errorf("delay %v: it must be above 0 and at most %v", s.Delay, MaxDelay)
	case s.Kind != Latency && s.Delay != 0:
		return fmt.Errorf("delay %v: only %s delays calls", s.Delay, Latency)
	}
	return nil
}

// calls is true for a caller whose calls may be part of the run.
func (s *Spec) calls(caller string) bool {
	if len(s.Callers) == 0 {
		return true
	}
	at, err := netip.ParseAddrPort(caller)
	if err != nil {
		return false
	}
	for _, one := range s.Callers {
		if one.Contains(at.Addr().Unmap()) {
			return true
		}
	}
	return false
}
