package main

import (
	"testing"

	"github.com/eastway/eastway/discovery"
)

// Each service is exported by exactly one peer, and half of the names are the cluster's.
func TestLayout(t *testing.T) {
	t.Parallel()
	for _, o := range []options{{services: 50, peers: 2}, {services: 1000, peers: 10}, {services: 37, peers: 5}} {
		owners := make([]int, o.services)
		names := map[discovery.ServiceName]bool{}
		for i := range o.services {
			names[own(i)] = true
		}
		for p := range o.peers {
			first, last := o.share(p)
			for i := first; i < last; i++ {
				owners[i]++
				names[remote(i)] = true
				if got := o.peerOf(i); got != p {
					t.Errorf("%+v: service %d is of peer %d, want %d", o, i, got, p)
				}
			}
		}
		for i, n := range owners {
			if n != 1 {
				t.Errorf("%+v: service %d has %d peers", o, i, n)
			}
		}
		if len(names) != o.imports() {
			t.Errorf("%+v: %d names, want %d", o, len(names), o.imports())
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	good := defaults()
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*options){
		"no peer":           func(o *options) { o.peers = 0 },
		"few services":      func(o *options) { o.services = 2*o.peers - 1 },
		"too many services": func(o *options) { o.services = maxServices + 1 },
		"no delta":          func(o *options) { o.deltas = 0 },
		"no idle time":      func(o *options) { o.idle = 0 },
	} {
		o := defaults()
		if spoil(&o); o.validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if good.services = maxServices; good.imports() > lastPort-firstPort+1 {
		t.Errorf("%d imports need more than %d ports", good.imports(), lastPort-firstPort+1)
	}
}
