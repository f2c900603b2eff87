package health

import (
	"fmt"
	"slices"

	"github.com/eastway/eastway/discovery"
)

// Problems are the services of which endpoints fail their check, each with one of them and what to do.
func Problems(s *discovery.Snapshot) []string {
	if s == nil {
		return nil
	}
	var out []string
	for name, svc := range s.Services.All() {
		all, failing, example := 0, 0, (*discovery.Endpoint)(nil)
		for _, endpoints := range svc.Endpoints {
			all += len(endpoints)
			for i := range endpoints {
				if endpoints[i].Unhealthy == "" {
					continue
				}
				failing++
				if example == nil || endpoints[i].Address.Compare(example.Address) < 0 {
					example = &endpoints[i]
				}
			}
		}
		if failing > 0 {
			out = append(out, fmt.Sprintf("service %s: %d of %d endpoints unhealthy: %s fails the health check of the TrafficPolicy (%s): "+
				"mend it, or the check; 'eastway endpoints' shows all", name, failing, all, example.Address, example.Unhealthy))
		}
	}
	slices.Sort(out)
	if n := len(out) - maxProblems; n > 0 {
		out = append(out[:maxProblems], fmt.Sprintf("%d more services with endpoints that fail their health check", n))
	}
	return out
}
