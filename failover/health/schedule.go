package health

import (
	"container/heap"
	"net/netip"
	"reflect"
	"time"

	"github.com/eastway/eastway/discovery"
)

// place is an endpoint behind a port of a service.
type place struct {
	port     uint16
	endpoint netip.AddrPort
}

// schedule is which endpoints are checked, and when.
type schedule struct {
	services map[discovery.ServiceName]*service
	due      queue
	running  int
	// random, in [0, 1), spreads the checks.
	random func() float64
}

// service is the endpoints of a service that are checked.
type service struct {
	targets map[place]*target
	running int
	// waiting are due, but as many checks of the service run as may.
	waiting []*target
}

// target is one endpoint that is checked.
type target struct {
	service *service
	ref     discovery.EndpointRef
	plan    *plan
	state   state
	// reason is why it is failing.
	reason string
	at     time.Time // of the next check
	index  int       // in the queue, -1 outside
	gone   bool
}

// check is one check of a target by the plan of that moment.
type check struct {
	target *target
	plan   *plan
	began  time.Time
}

// result is what came of a check.
type result struct {
	check
	// reason is why it failed, empty if it passed.
	reason string
	// inconclusive: it means nothing for the endpoint.
	inconclusive bool
}

func newSchedule(random func() float64) *schedule {
	return &schedule{services: make(map[discovery.ServiceName]*service), random: random}
}

// follow brings the endpoints of a service in line with what is to be checked (nil: it has no checks), and returns those that no longer
// are. Those that stay keep their state; one whose plan has changed is checked at once. When the checks of a service begin, the first
// result of each endpoint decides by itself, so that a proxy that is restarted does not take unhealthy endpoints to be healthy for long.
func (s *schedule) follow(name discovery.ServiceName, plans map[place]*plan, now time.Time) (gone []*target) {
	of := s.services[name]
	begins := of == nil
	if begins {
		if plans == nil {
			return nil
		}
		of = &service{targets: make(map[place]*target, len(plans))}
		s.services[name] = of
	}
	for at, t := range of.targets {
		if plans[at] == nil {
			s.drop(t)
			delete(of.targets, at)
			gone = append(gone, t)
		}
	}
	for at, plan := range plans {
		switch t := of.targets[at]; {
		case t == nil:
			t = &target{
				service: of, ref: discovery.EndpointRef{Service: name, Port: at.port, Address: at.endpoint},
				plan: plan, at: now, index: -1, state: state{unknown: begins},
			}
			of.targets[at] = t
			heap.Push(&s.due, t)
		case !reflect.DeepEqual(t.plan, plan):
			t.plan, t.state.row, t.at = plan, 0, now
			if t.index >= 0 {
				heap.Fix(&s.due, t.index)
			}
		}
	}
	if plans == nil {
		delete(s.services, name)
	}
	return gone
}

func (s *schedule) drop(t *target) {
	t.gone = true
	if t.index >= 0 {
		heap.Remove(&s.due, t.index)
	}
}

// begin returns a check that is due and may run; false when there is none.
func (s *schedule) begin(now time.Time) (check, bool) {
	for s.running < maxChecks && len(s.due) > 0 && !s.due[0].at.After(now) {
		t, _ := heap.Pop(&s.due).(*target)
		if t.service.running == maxPerService {
			t.service.waiting = append(t.service.waiting, t)
			continue
		}
		s.running++
		t.service.running++
		return check{t, t.plan, now}, true
	}
	return check{}, false
}

// next is when begin has a check again, if no other one ends before; false: then only.
func (s *schedule) next() (time.Time, bool) {
	if s.running >= maxChecks || len(s.due) == 0 {
		return time.Time{}, false
	}
	return s.due[0].at, true
}

// end takes a result. It returns true when the target is to be taken for something else, or fails for another reason.
func (s *schedule) end(r result, now time.Time) (changed bool) {
	t := r.target
	s.running--
	t.service.running--
	s.admit(t.service)
	if t.gone {
		return false
	}
	if t.plan != r.plan { // the result is that of another plan
		t.at = now
	} else {
		changed = !r.isMoot(now) && t.record(r.reason)
		t.at = now.Add(t.plan.interval - time.Duration(jitter*s.random()*float64(t.plan.interval)))
	}
	heap.Push(&s.due, t)
	return changed
}

// isMoot is true for a failure that means nothing for the endpoint, also one that took so long that this process cannot have run all the
// time.
func (r *result) isMoot(now time.Time) bool {
	return r.inconclusive || r.reason != "" && now.Sub(r.began) > r.plan.timeout+lateness
}

// record takes the result of a check.
func (t *target) record(reason string) (changed bool) {
	before := t.reason
	changed = t.state.record(reason != "", t.plan)
	switch {
	case !t.state.failing:
		t.reason = ""
	case reason != "":
		t.reason = reason
	}
	return changed || t.reason != before
}

// admit makes one that waits due again.
func (s *schedule) admit(of *service) {
	for len(of.waiting) > 0 {
		t := of.waiting[0]
		of.waiting = of.waiting[1:]
		if !t.gone {
			heap.Push(&s.due, t)
			return
		}
	}
}

// queue is a heap of targets, the next one first.
type queue []*target

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	t, _ := x.(*target)
	t.index = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last], *q = nil, (*q)[:last]
	t.index = -1
	return t
}
