package takeover

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Status is what the agent tells of itself at /takeovers, as JSON.
type Status struct {
	Node     Locality        `json:"node"`
	Datapath Datapath        `json:"datapath"`
	Proxies  []ProxyStatus   `json:"proxies"`
	Services []ServiceStatus `json:"services"`
	Omitted  Omitted         `json:"omitted,omitzero"`
	// Written is when the tables were written last.
	Written time.Time `json:"written"`
	// Error says why they can't be written now; "" is the usual.
	Error string `json:"error,omitempty"`
}

// ProxyStatus is what this node knows of a proxy.
type ProxyStatus struct {
	Address   netip.Addr `json:"address"`
	Pod       string     `json:"pod,omitempty"`
	Locality             // of the proxy
	Distance  string     `json:"distance"`
	Alive     bool       `json:"alive"`
	Ready     bool       `json:"ready"`
	Listeners int        `json:"listeners"`
}

func proxyStatuses(inv *Inventory, health map[netip.Addr]Health) []ProxyStatus {
	out := make([]ProxyStatus, len(inv.Proxies))
	for i, p := range inv.Proxies {
		h := health[p.Address]
		out[i] = ProxyStatus{
			Address: p.Address, Pod: p.Pod, Locality: p.Locality, Distance: inv.Self.distanceTo(p.Locality).String(),
			Alive: h.Alive, Ready: h.Alive && h.Report.Ready, Listeners: len(h.Report.Listeners),
		}
	}
	return out
}

// Status is what the agent does now.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Datapath = a.checker.datapath()
	return s
}

// Ready is nil when the tables are in line with what is known.
func (a *Agent) Ready() error {
	s := a.Status()
	switch {
	case s.Written.IsZero() && s.Error == "":
		return errors.New("not everything is known yet: the API server has not answered, or not every proxy has been probed")
	case time.Since(s.Written) > EntryLife:
		return fmt.Errorf("the tables' entries have timed out: %s", s.Error)
	}
	return nil
}

// Healthy is nil unless the main loop is stuck.
func (a *Agent) Healthy() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if silent := time.Since(a.beat); silent > stuckAfter {
		return fmt.Errorf("the main loop has been silent for %s", silent.Round(time.Second))
	}
	return nil
}
