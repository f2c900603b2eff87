package view

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/terminal"
)

// Endpoints prints where connections to a service can go.
func Endpoints(w io.Writer, from Source, endpoints []status.Endpoint) error {
	printSeen(w, from)
	ports := make(map[uint16]bool)
	for i := range endpoints {
		ports[endpoints[i].Port] = true
	}
	rows := make([][]string, 0, len(endpoints))
	for i := range endpoints {
		e := &endpoints[i]
		rows = append(rows, []string{
			endpointAddress(e, len(ports) > 1), e.Cluster, shortLocality(e.Region, e.Zone), strconv.Itoa(e.Level),
			endpointState(e), cmp.Or(e.OutlierCheck, "-"), strconv.Itoa(e.Active), terminal.RTT(e.RTT),
		})
	}
	headings := []string{"ADDRESS", "CLUSTER", "LOCALITY", "LEVEL", "STATUS", "OUTLIER CHECK", "ACTIVE", "RTT"}
	return terminal.Table(w, headings, rows)
}

// printSeen names the proxy that answered, if it is a pod.
func printSeen(w io.Writer, from Source) {
	if from.Pod != "" {
		seen := fmt.Sprintf("As seen by %s on node %s", from.Pod, from.Node)
		if from.Others != "" {
			seen += ", " + from.Others
		}
		fmt.Fprintf(w, "%s:\n", terminal.Printable(seen))
	}
}

// stateEjected is what a user calls an endpoint that failed the outlier check.
const stateEjected = "EJECTED"

// endpointState is one word for what keeps connections from an endpoint, HEALTHY if nothing does: that no process is there
// matters more than that it failed before.
func endpointState(e *status.Endpoint) string {
	switch {
	case e.Status == status.FailedActiveHC:
		return fmt.Sprintf("%s (%s)", e.Status, e.HealthCheck)
	case e.Status != status.Healthy:
		return e.Status
	case e.OutlierCheck == status.CheckOK || e.OutlierCheck == "":
		return e.Status
	case e.OutlierCheck != status.CheckFailed:
		return e.OutlierCheck
	}
	var details []string
	if e.EjectionKind != "" {
		details = append(details, e.EjectionKind)
	}
	if e.EjectedFor > 0 {
		details = append(details, terminal.Age(e.EjectedFor.Round(time.Second))+" left")
	}
	if len(details) == 0 {
		return stateEjected
	}
	return fmt.Sprintf("%s (%s)", stateEjected, strings.Join(details, ", "))
}

// shortLocality leaves the region out where the zone's name begins with it, as those of most clouds do.
func shortLocality(region, zone string) string {
	if region != "" && zone != region && strings.HasPrefix(zone, region) {
		return zone
	}
	return discovery.Locality{Region: region, Zone: zone}.String()
}

// endpointAddress distinguishes the rows of a peer where the service has several ports.
func endpointAddress(e *status.Endpoint, severalPorts bool) string {
	switch {
	case severalPorts && e.Address == e.Cluster:
		return e.Address + ":" + strconv.Itoa(int(e.Port))
	case e.Host != "":
		return fmt.Sprintf("%s (%s)", e.Address, e.Host)
	}
	return e.Address
}
