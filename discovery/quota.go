package discovery

import (
	"fmt"
	"slices"

	"github.com/google/btree"
)

// Amount is how much of what an import takes: of a service, a peer, or a quota.
type Amount struct {
	Services, Ports, Pods int
}

// amountOf an export. Each pod of a headless service takes all its ports.
func amountOf(e *PeerExport) Amount {
	a := Amount{Services: 1, Ports: len(e.Ports)}
	if e.Spec.Headless && len(e.Pods) > 0 {
		a.Pods = len(e.Pods)
		a.Ports *= len(e.Pods)
	}
	return a
}

func (a Amount) plus(o Amount) Amount {
	return Amount{a.Services + o.Services, a.Ports + o.Ports, a.Pods + o.Pods}
}

func (a Amount) minus(o Amount) Amount {
	return Amount{a.Services - o.Services, a.Ports - o.Ports, a.Pods - o.Pods}
}

// beyond is the field of a quota that a exceeds first; "" if none.
func (a Amount) beyond(quota Amount) string {
	switch {
	case a.Services > quota.Services:
		return "services"
	case a.Ports > quota.Ports:
		return "ports"
	case a.Pods > quota.Pods:
		return "pods"
	}
	return ""
}

// field is the value of the field of that name.
func (a Amount) field(name string) int {
	switch name {
	case "services":
		return a.Services
	case "ports":
		return a.Ports
	}
	return a.Pods
}

// Excess is by what a peer's exports exceed its quota.
type Excess struct {
	Peer string
	// Field of spec.quota that the first service left out does not fit.
	Field string
	// First is that service: it and all after it, in the order of names, are not imported.
	First ServiceName
	// Quota is the peer's, Exported what it exports and may be imported, Imported what is.
	Quota, Exported, Imported Amount
}

// LeftOut is how many services are not imported.
func (x *Excess) LeftOut() int { return x.Exported.Services - x.Imported.Services }

// Text is what happened, Remedy what to do about it.
func (x *Excess) Text() string {
	return fmt.Sprintf("%d of %d services of peer %s are not imported, from %s on in the order of names: "+
		"its exports have %d services, %d ports and %d pods, and its quota of %s is %d",
		x.LeftOut(), x.Exported.Services, x.Peer, x.First, x.Exported.Services, x.Exported.Ports, x.Exported.Pods,
		x.Field, x.Quota.field(x.Field))
}

// Remedy is what an operator can do.
func (x *Excess) Remedy() string {
	return fmt.Sprintf("raise spec.quota.%s of Peer %s, or import fewer by its spec.imports", x.Field, x.Peer)
}

// Problems are the peers beyond their quota, those that claim localities which they may not, and those that export what the own cluster
// has and does not share, each with what to do.
func (s *Snapshot) Problems() []string {
	out := make([]string, 0, len(s.Excess))
	for peer, c := range s.outside() {
		out = append(out, c.problem(peer))
	}
	for peer, u := range s.unused() {
		out = append(out, u.problem(peer))
	}
	for _, x := range s.Excess {
		out = append(out, x.Text()+": "+x.Remedy())
	}
	slices.Sort(out)
	return out
}

// quotaOf is that of the Peer.
func quotaOf(p *Peer) Amount {
	q := p.Spec.Quota.WithDefaults()
	return Amount{int(q.Services), int(q.Ports), int(q.Pods)}
}

// admission keeps which of a peer's exports fit its quota: in the order of names, up to the first that does not fit. That depends on the
// exports and the quota alone, so that all processes of the cluster decide alike; the cost of a change is what changes in consequence.
type admission struct {
	quota Amount
	all   *btree.BTreeG[claim] // what may be imported
	total Amount               // of all
	used  Amount               // of those before cut
	over  bool                 // something is left out:
	cut   ServiceName          // this and what comes after it
}

// claim is what one export takes.
type claim struct {
	name   ServiceName
	amount Amount
}

// claimsPerNode of the tree: many, for few allocations.
const claimsPerNode = 64

func newAdmission(quota Amount) *admission {
	return &admission{
		quota: quota,
		all:   btree.NewG(claimsPerNode, func(a, b claim) bool { return a.name.Compare(b.name) < 0 }),
	}
}

// admits is true if the export of that name fits, provided that it may be imported.
func (a *admission) admits(name ServiceName) bool { return !a.over || name.Compare(a.cut) < 0 }

// set changes what an export takes; nil: it is gone, or may not be imported. Call settle after the last one.
func (a *admission) set(name ServiceName, e *PeerExport) {
	var was, is Amount
	if e == nil {
		old, _ := a.all.Delete(claim{name: name})
		was = old.amount
	} else {
		is = amountOf(e)
		old, _ := a.all.ReplaceOrInsert(claim{name, is})
		was = old.amount
	}
	a.total = a.total.plus(is).minus(was)
	if a.admits(name) {
		a.used = a.used.plus(is).minus(was)
	}
}

// settle moves the cut to where it belongs, and adds the exports between to moved.
func (a *admission) settle(moved map[ServiceName]struct{}) {
	shrink := func(c claim) bool {
		if a.used.beyond(a.quota) == "" {
			return false
		}
		if a.admits(c.name) { // else it is the cut itself
			a.used = a.used.minus(c.amount)
			a.over, a.cut = true, c.name
			moved[c.name] = struct{}{}
		}
		return true
	}
	if a.over {
		a.all.DescendLessOrEqual(claim{name: a.cut}, shrink)
	} else {
		a.all.Descend(shrink)
	}
	if !a.over {
		return
	}
	a.over = false
	a.all.AscendGreaterOrEqual(claim{name: a.cut}, func(c claim) bool {
		if with := a.used.plus(c.amount); with.beyond(a.quota) == "" {
			a.used = with
			moved[c.name] = struct{}{}
			return true
		}
		a.over, a.cut = true, c.name
		return false
	})
}

// excess is what is left out; nil if nothing is.
func (a *admission) excess(peer string) *Excess {
	if !a.over {
		return nil
	}
	first, _ := a.all.Get(claim{name: a.cut})
	return &Excess{
		Peer: peer, Field: a.used.plus(first.amount).beyond(a.quota), First: a.cut,
		Quota: a.quota, Exported: a.total, Imported: a.used,
	}
}

// admit evaluates the named exports of a peer again, and adds those that are admitted now, or no longer, to names. c.mu is held.
func (p *peerAdverts) admit(by *Peer, own string, names map[ServiceName]struct{}) {
	for n := range names {
		e := p.export(n)
		if allowed, _ := MayImport(by, own, n); !allowed {
			e = nil
		}
		p.admission.set(n, e)
	}
	p.admission.settle(names)
}

// regulate applies another version of the Peer's rules, and adds the exports to dirty that these may concern. c.mu is held.
func (p *peerAdverts) regulate(by *Peer, own string, rules bool, dirty map[ServiceName]struct{}) {
	p.admission.quota = quotaOf(by)
	if !rules {
		p.admission.settle(dirty)
		return
	}
	all := map[ServiceName]struct{}{}
	p.addNames(all)
	p.admit(by, own, all)
	for n := range all {
		dirty[n] = struct{}{}
	}
}

// excesses are the peers that are beyond their quota. c.mu is held.
func (c *Catalog) excesses() map[string]*Excess {
	var out map[string]*Excess
	for name, p := range c.peers {
		if x := p.admission.excess(name); x != nil {
			if out == nil {
				out = map[string]*Excess{}
			}
			out[name] = x
		}
	}
	return out
}
