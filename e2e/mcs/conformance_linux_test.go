package mcs

import (
	"os"
	"testing"
)

// openVariable, when set, adds the checks that do not pass yet: see docs/mcs-conformance.md.
const openVariable = "E2E_OPEN"

// check is one of the suite's specs, or of what else the KEP asks for.
type check struct {
	// labels are the suite's, the first of which is Required or Optional; KEP for what the suite leaves out.
	labels string
	// name of the subtest, by which the table in docs/mcs-conformance.md refers to it.
	name string
	run  func(*spec)
	// open: it does not pass yet.
	open bool
}

func (c check) String() string { return c.labels + "/" + c.name }

func checks() []check {
	return []check{
		{labels: "Required", name: "not exported", run: notExported},
		{labels: "Required", name: "lives while exported", run: livesWhileExported},
		{labels: "Required,ClusterIP", name: "type and unexport", run: clusterSetIPType},
		{labels: "Required,ClusterIP", name: "sessionAffinity", run: sessionAffinity},
		{labels: "Required,ClusterIP", name: "internalTrafficPolicy", run: internalTrafficPolicy},
		{labels: "Required,ClusterIP", name: "trafficDistribution", run: trafficDistribution},
		{labels: "Required,ClusterIP", name: "clusterset IP", run: clusterSetIP},
		{labels: "Required,ClusterIP", name: "ports", run: ports},
		{labels: "Required,ClusterIP", name: "union of ports", run: unionOfPorts},
		{labels: "Required,ClusterIP", name: "port conflict", run: portConflict},
		{labels: "Required,Headless", name: "type and unexport", run: headlessType},
		{labels: "Required,Headless", name: "no clusterset IP", run: headlessWithoutIP},
		{labels: "Required,ExternalName", name: "not valid", run: externalName},
		{labels: "Required", name: "type conflict", run: typeConflict},

		{labels: "Optional,ExportedLabels", name: "only what is exported", run: exportedWords},
		{labels: "Optional,ExportedLabels", name: "conflict", run: wordsConflict},
		{labels: "Optional,EndpointSlice", name: "labels and unexport", run: endpointSlices},
		{labels: "Optional,DNS,ClusterIP", name: "A", run: dnsAddress},
		{labels: "Optional,DNS,ClusterIP", name: "SRV", run: dnsService},
		{labels: "Optional,DNS,ClusterIP", name: "cluster.local", run: clusterLocal},
		{labels: "Optional,Connectivity,ClusterIP", name: "reachable", run: reachable},
		{labels: "Optional,Connectivity,ClusterIP", name: "exported by one", run: exportedByOne},
		{labels: "Optional,Connectivity,ClusterIP,StrictPortConflict", name: "same port name", run: samePortName},
		{labels: "Optional,Connectivity,ClusterIP,StrictPortConflict", name: "other port name", run: otherPortName},
		{labels: "Optional,DNS,Headless", name: "A", run: headlessAddresses},
		{labels: "Optional,DNS,Headless,EndpointSlice", name: "hosts", run: headlessHosts},
		{labels: "Optional,DNS,Headless", name: "SRV", run: headlessServices},

		{labels: "KEP", name: "conditions", run: conditions},
		{labels: "KEP", name: "older export wins", run: olderWins},
		{labels: "KEP", name: "smaller name wins", run: sameAge},
		{labels: "KEP", name: "sessionAffinityConfig conflict", run: affinityConfigConflict},
		{labels: "KEP", name: "namespace sameness", run: namespaceSameness},
		{labels: "KEP", name: "sessionAffinity works", run: affinityWorks, open: true},
		{labels: "KEP", name: "UDP", run: datagramRefused},
		{labels: "KEP", name: "nothing left", run: nothingLeft},
		{labels: "KEP", name: "peer away", run: peerAway},
	}
}

// TestConformance runs all checks on one pair of clusters.
func TestConformance(t *testing.T) {
	w := newWorld(t)
	for _, c := range checks() {
		if !c.open || os.Getenv(openVariable) != "" {
			t.Run(c.String(), func(t *testing.T) { c.run(w.spec(t)) })
		}
	}
}
