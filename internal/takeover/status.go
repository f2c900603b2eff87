package takeover

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/eastway/eastway/internal/takeover/report"
)

func proxyStatuses(inv *Inventory, health map[netip.Addr]Health) []report.ProxyStatus {
	out := make([]report.ProxyStatus, len(inv.Proxies))
	for i, p := range inv.Proxies {
		h := health[p.Address]
		out[i] = report.ProxyStatus{
			Address: p.Address, Pod: p.Pod, Locality: p.Locality, Distance: distanceOf(&inv.Self, &p.Locality).String(),
			Alive: h.State == Alive, Suspect: h.State == Suspect, Ready: h.State == Alive && h.Report.Ready,
			Listeners: len(h.Report.Listeners),
		}
	}
	return out
}

// Status is the agent's current state.
func (a *Agent) Status() report.Status {
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
		return fmt.Errorf("the main loop has been stuck for %s", silent.Round(time.Second))
	}
	return nil
}
