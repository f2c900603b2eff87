package listen

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
)

// ErrVacant is why the listener of a service is closed that nothing can serve: a caller is refused, as where nothing listens, and goes
// elsewhere at once.
var ErrVacant = errors.New("no endpoint takes connections, here or at a peer that can be reached")

// vacantFor is how long nothing may be able to serve a port before its listener closes. Connections before are reset, as long as they would be in
// any case; a listener that came and went would be worse for those that share its port.
const vacantFor = 2 * time.Second

// Review closes the listeners of these services, and of those that it waits for, if nothing can serve them any more, and opens the others.
// It returns when to look again; 0 is at the next change.
func (ls *Listeners) Review(ctx context.Context, services ...discovery.ServiceName) time.Duration {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return 0
	}
	for _, l := range ls.leaving {
		ls.review(l)
	}
	for _, name := range services {
		ls.reviewService(name)
	}
	return ls.openAll(ctx)
}

// ReviewAll is Review of all services.
func (ls *Listeners) ReviewAll(ctx context.Context) time.Duration {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return 0
	}
	for _, l := range ls.byAddr {
		ls.review(l)
	}
	return ls.openAll(ctx)
}

func (ls *Listeners) reviewService(name discovery.ServiceName) {
	svc := ls.claims.of.Get(name)
	if svc == nil {
		return
	}
	for i := range svc.Listeners {
		if l := ls.byAddr[bindingOf(svc, &svc.Listeners[i]).At]; l != nil && l.binding.Service == name {
			ls.review(l)
		}
	}
}

// review decides whether a listener is wanted.
func (ls *Listeners) review(l *listener) {
	now := time.Now()
	switch {
	case ls.cfg.Serves(l.binding):
		l.emptySince = time.Time{}
		delete(ls.leaving, l.addr)
		if l.ln == nil && l.vacant {
			l.vacant, ls.pending[l.addr] = false, l
			ls.revision.Add(1)
			ls.cfg.Log.Info("service can be served, its listener opens", zap.Stringer("address", l.addr), zap.Stringer("service", l.binding.Service))
		}
	case l.vacant:
	case l.ln == nil:
		ls.vacate(l)
	case l.emptySince.IsZero():
		l.emptySince, ls.leaving[l.addr] = now, l
	case now.Sub(l.emptySince) >= vacantFor:
		l.close()
		ls.vacate(l)
		ls.cfg.Log.Warn("nothing can serve the service, its listener is closed: callers are refused",
			zap.Stringer("address", l.addr), zap.Stringer("service", l.binding.Service),
			zap.String("remedy", "`eastway endpoints` shows why each endpoint and peer is out"))
	}
}

// vacate notes that a listener is closed for that reason.
func (ls *Listeners) vacate(l *listener) {
	l.vacant, l.err, l.emptySince = true, nil, time.Time{}
	delete(ls.pending, l.addr)
	delete(ls.leaving, l.addr)
	ls.revision.Add(1)
}
