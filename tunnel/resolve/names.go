package resolve

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/notify"
)

// Lookup finds a name's addresses.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// Names follows those that it is asked for. New makes it.
type Names struct {
	lookup  Lookup
	changed func()
	wake    notify.Signal

	mu    sync.Mutex
	hosts map[string]*name // by HOST
}

// New looks names up by lookup; nil: as the system does. It calls changed, which must not block, whenever Each has another answer.
func New(lookup Lookup, changed func()) *Names {
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return &Names{lookup: lookup, changed: changed, wake: notify.NewSignal(), hosts: make(map[string]*name)}
}

// Each replaces each HOST:PORT with a name by one for each of its addresses. A name that was not looked up yet has none, and one that
// has never been found is left as it is: dialing it has the error.
func (n *Names) Each(hostPorts []string) []string {
	var out []string
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, hp := range hostPorts {
		host, port, err := net.SplitHostPort(hp)
		if _, literal := netip.ParseAddr(host); err != nil || literal == nil || host == "" {
			out = append(out, hp)
			continue
		}
		is := n.hosts[host]
		if is == nil {
			is = &name{}
			n.hosts[host] = is
			n.wake.Notify()
		}
		is.wanted = true
		if is.failed() {
			out = append(out, hp)
		}
		for _, a := range is.addresses() {
			out = append(out, net.JoinHostPort(a.String(), port))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Run looks names up until ctx ends.
func (n *Names) Run(ctx context.Context) {
	t := time.NewTicker(again)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if known := n.all(); len(known) > 0 {
				n.look(ctx, known)
				n.changed() // those that are still wanted are asked for by Each
			}
		case <-n.wake:
			n.look(ctx, n.fresh())
		}
	}
}

// all are the names to be looked up; those that were not asked for since the last time are forgotten.
func (n *Names) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.hosts, func(_ string, is *name) bool { return !is.wanted })
	for _, is := range n.hosts {
		is.wanted = false
	}
	return slices.Collect(maps.Keys(n.hosts))
}

// fresh are the names that were never looked up.
func (n *Names) fresh() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for host, is := range n.hosts {
		if !is.looked {
			out = append(out, host)
		}
	}
	return out
}

// look looks names up at the same time.
func (n *Names) look(ctx context.Context, which []string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, host := range which {
		wg.Go(func() {
			found, err := n.lookup(ctx, host)
			n.mu.Lock()
			is := n.hosts[host]
			changed := is != nil && is.answer(found, err)
			n.mu.Unlock()
			if changed {
				n.changed()
			}
		})
	}
}
