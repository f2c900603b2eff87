package discovery

import (
	"net/netip"
	"slices"
	"testing"
)

// checkedService is an exported headless service with two ready endpoints.
func checkedService() *Service {
	s := newService(echo, 0)
	s.Spec.Headless = true
	for i, name := range []string{"pod-0", "pod-1"} {
		s.Endpoints[80] = append(s.Endpoints[80], Endpoint{
			Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80), Ready: true, Hostname: name,
		})
	}
	return s
}

// What checks find is in the snapshot and in what peers get, whatever the source sets meanwhile, until they find something else.
func TestSetUnhealthy(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	set := func(s *Service) {
		l := localWith([]string{"b"})
		l.Services = l.Services.With(echo, s)
		c.SetLocal(l)
	}
	ref := func(i byte) EndpointRef {
		return EndpointRef{echo, 80, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 80)}
	}
	var revision uint64
	var has sent
	want := func(what string, changed bool, unhealthy []string, row Readiness, pods ...bool) {
		t.Helper()
		s := c.Snapshot()
		if (s.Revision > revision) != changed {
			t.Errorf("%s: revision %d after %d", what, s.Revision, revision)
		}
		revision = s.Revision
		var got []string
		for _, e := range s.Services.Get(echo).Endpoints[80] {
			got = append(got, e.Unhealthy)
		}
		if !slices.Equal(got, unhealthy) {
			t.Errorf("%s: %q, want %q", what, got, unhealthy)
		}
		c.deltaFor("b", &has)
		row.Port = 80
		e := c.exports.all.Get(echo).endpoints
		if !slices.Equal(e.Rows, []Readiness{row}) {
			t.Errorf("%s: peers get %+v, want %+v", what, e.Rows, row)
		}
		var ready []bool
		for _, p := range e.Pods {
			ready = append(ready, p.Ready)
		}
		if !slices.Equal(ready, pods) {
			t.Errorf("%s: peers get pods that are ready: %v, want %v", what, ready, pods)
		}
	}
	local := checkedService()
	set(local)
	want("healthy", true, []string{"", ""}, Readiness{Ready: 2, Total: 2}, true, true)
	c.SetUnhealthy(map[EndpointRef]string{ref(1): "503", ref(9): "gone"})
	want("one is unhealthy", true, []string{"", "503"}, Readiness{Ready: 1, Terminating: 1, Total: 2}, true, false)
	c.SetUnhealthy(map[EndpointRef]string{ref(1): "503", ref(0): ""})
	want("nothing new", false, []string{"", "503"}, Readiness{Ready: 1, Terminating: 1, Total: 2}, true, false)
	if local.Endpoints[80][1].Unhealthy != "" {
		t.Error("the source's service was changed")
	}

	c.SetUnhealthy(map[EndpointRef]string{ref(1): "timeout"})
	before := has.revision
	want("another reason", true, []string{"", "timeout"}, Readiness{Ready: 1, Terminating: 1, Total: 2}, true, false)
	if has.revision != before {
		t.Error("peers get a reason")
	}

	local = checkedService()
	local.Endpoints[80][0].Ready = false
	local.Endpoints[80][0].Terminating = true
	set(local)
	want("the source sets something", true, []string{"", "timeout"}, Readiness{Terminating: 2, Total: 2}, false, false)

	c.SetUnhealthy(map[EndpointRef]string{ref(1): "", ref(9): ""})
	want("healthy again", true, []string{"", ""}, Readiness{Ready: 1, Terminating: 1, Total: 2}, false, true)
	if len(c.unhealthy) > 0 {
		t.Errorf("left: %v", c.unhealthy)
	}
}
