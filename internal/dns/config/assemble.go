package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// assemble checks objects against each other. What was served in the last pass wins, and stays as it was if its new version is refused.
func (p *reading) assemble() *Config {
	c, served := new(Config), make(map[key]*object)
	take := func(kind, limit string, most int, refused func(*object) *fault, use func(*object)) {
		n := 0
		for _, k := range p.order(kind) {
			if n == most {
				f := &fault{"metadata.name", fmt.Sprintf("more than %d %s: it is not served", most, limit)}
				p.errs = append(p.errs, p.objects[k].fault(f.field, "%s", f.message))
				continue
			}
			for i, o := range []*object{p.objects[k], p.served[k]} {
				if o == nil || i > 0 && o == p.objects[k] {
					continue
				}
				f := refused(o)
				if f == nil {
					served[k] = o
					n++
					use(o)
					break
				}
				if i == 0 {
					p.errs = append(p.errs, o.fault(f.field, "%s", f.message))
				}
			}
		}
	}
	take(KindZone, "zones", maxZones, func(o *object) *fault { return p.zoneFault(c, o.zone) }, func(o *object) { c.Zones = append(c.Zones, o.zone) })
	take(KindName, "names", maxNames, func(o *object) *fault { return nameFault(c, o.name) }, func(o *object) { c.Names = append(c.Names, o.name) })
	slices.SortFunc(c.Zones, func(a, b *DNSZone) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(c.Names, func(a, b *GlobalName) int { return strings.Compare(a.Name, b.Name) })
	p.served = served
	return c
}

// order has what was served first, then shorter names.
func (p *reading) order(kind string) []key {
	var keys []key
	for k := range p.objects {
		if k.kind == kind {
			keys = append(keys, k)
		}
	}
	fresh := func(k key) int {
		if p.served[k] != nil {
			return 0
		}
		return 1
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(fresh(a), fresh(b)), cmp.Compare(len(a.name), len(b.name)), strings.Compare(a.name, b.name))
	})
	return keys
}

// zoneFault is what speaks against a zone beside those that are served already, and names that were served.
func (p *reading) zoneFault(c *Config, zone *DNSZone) *fault {
	for _, z := range c.Zones {
		if within(z.Name, zone.Name) || within(zone.Name, z.Name) {
			return &fault{"metadata.name", fmt.Sprintf("the zones %s and %s lie within each other: keep the larger one", zone.Name, z.Name)}
		}
	}
	for k, o := range p.served {
		if o.name == nil || p.objects[k] == nil {
			continue
		}
		for i, ns := range zone.Spec.NameServers {
			if ns.Name == k.name {
				return &fault{fmt.Sprintf("spec.nameServers[%d].name", i), fmt.Sprintf("%s is a %s: give the server another name", ns.Name, KindName)}
			}
		}
		for _, e := range o.name.Spec.Entries {
			if e.Hostname != "" && within(e.Hostname, zone.Name) {
				return &fault{"metadata.name", fmt.Sprintf("%s, the hostname of an entry of %s, lies within it: move the load balancer's name",
					e.Hostname, k.name)}
			}
		}
	}
	return nil
}

// nameFault is what speaks against a name in the zones that are served.
func nameFault(c *Config, n *GlobalName) *fault {
	zone := c.Zone(n.Name)
	switch {
	case zone == nil:
		return &fault{"metadata.name", fmt.Sprintf("%s lies in no %s: add one for the domain that is delegated here", n.Name, KindZone)}
	case slices.ContainsFunc(zone.Spec.NameServers, func(ns NameServer) bool { return ns.Name == n.Name }):
		return &fault{"metadata.name", fmt.Sprintf("%s is a name server of the zone %s", n.Name, zone.Name)}
	}
	for i, e := range n.Spec.Entries {
		if e.Hostname == "" {
			continue
		}
		if z := c.Zone(e.Hostname); z != nil {
			return &fault{fmt.Sprintf("spec.entries[%d].hostname", i), fmt.Sprintf("%s lies in the zone %s, which is served here: "+
				"write the name of the load balancer", e.Hostname, z.Name)}
		}
	}
	return nil
}
