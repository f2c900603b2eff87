package health

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
)

// Each service with unhealthy endpoints has a line, the first ones at least.
func TestProblems(t *testing.T) {
	t.Parallel()
	if got := Problems(nil); got != nil {
		t.Error(got)
	}
	all := make(map[discovery.ServiceName]*discovery.Service)
	add := func(i int, reasons ...string) {
		s := &discovery.Service{Endpoints: map[uint16][]discovery.Endpoint{}}
		for j, reason := range reasons {
			s.Endpoints[uint16(80+j%2)] = append(s.Endpoints[uint16(80+j%2)], discovery.Endpoint{Address: at(j).endpoint, Unhealthy: reason})
		}
		all[shop(i)] = s
	}
	add(0, "", "GET /: 503", "connect: connection refused", "")
	add(1, "", "")
	want := []string{
		"service shops/0: 2 of 4 endpoints unhealthy: 10.0.0.1:80 fails the health check of the TrafficPolicy (GET /: 503): " +
			"mend it, or the check; 'eastway endpoints' shows all",
	}
	if got := Problems(&discovery.Snapshot{Services: hashtrie.Of(all)}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range maxProblems {
		add(100+i, "503")
	}
	got := Problems(&discovery.Snapshot{Services: hashtrie.Of(all)})
	if len(got) != maxProblems+1 || got[maxProblems] != "1 more services with endpoints that fail their health check" {
		t.Errorf("%d lines: %s", len(got), fmt.Sprint(strings.Join(got, "\n")))
	}
}
