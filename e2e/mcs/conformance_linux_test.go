package mcs

import (
	"slices"
	"testing"
)

// check is one of the suite's specs, of what else the KEP asks for, or a fault.
type check struct {
	// labels are the suite's, the first of which is Required or Optional; KEP for what the suite leaves out; Faults.
	labels string
	// name of the subtest, by which the table in docs/mcs-conformance.md refers to it.
	name string
	run  func(*spec)
}

func (c check) String() string { return c.labels + "/" + c.name }

func checks() []check {
	return []check{
		{"Required", "not exported", notExported},
		{"Required", "lives while exported", livesWhileExported},
		{"Required,ClusterIP", "type and unexport", clusterSetIPType},
		{"Required,ClusterIP", "sessionAffinity", sessionAffinity},
		{"Required,ClusterIP", "internalTrafficPolicy", internalTrafficPolicy},
		{"Required,ClusterIP", "trafficDistribution", trafficDistribution},
		{"Required,ClusterIP", "clusterset IP", clusterSetIP},
		{"Required,ClusterIP", "ports", ports},
		{"Required,ClusterIP", "union of ports", unionOfPorts},
		{"Required,ClusterIP", "port conflict", portConflict},
		{"Required,Headless", "type and unexport", headlessType},
		{"Required,Headless", "no clusterset IP", headlessWithoutIP},
		{"Required,ExternalName", "not valid", externalName},
		{"Required", "type conflict", typeConflict},

		{"Optional,ExportedLabels", "only what is exported", exportedWords},
		{"Optional,ExportedLabels", "conflict", wordsConflict},
		{"Optional,EndpointSlice", "labels and unexport", endpointSlices},
		{"Optional,DNS,ClusterIP", "A", dnsAddress},
		{"Optional,DNS,ClusterIP", "SRV", dnsService},
		{"Optional,DNS,ClusterIP", "cluster.local", clusterLocal},
		{"Optional,Connectivity,ClusterIP", "reachable", reachable},
		{"Optional,Connectivity,ClusterIP", "exported by one", exportedByOne},
		{"Optional,Connectivity,ClusterIP,StrictPortConflict", "same port name", samePortName},
		{"Optional,Connectivity,ClusterIP,StrictPortConflict", "other port name", otherPortName},
		{"Optional,DNS,Headless", "A", headlessAddresses},
		{"Optional,DNS,Headless,EndpointSlice", "hosts", headlessHosts},
		{"Optional,DNS,Headless", "SRV", headlessServices},

		{"KEP", "conditions", conditions},
		{"KEP", "older export wins", olderWins},
		{"KEP", "same second", sameAge},
		{"KEP", "sessionAffinityConfig conflict", affinityConfigConflict},
		{"KEP", "namespace sameness", namespaceSameness},
		{"KEP", "sessionAffinity works", affinityWorks},
		{"KEP", "UDP", datagramRefused},
		{"KEP", "nothing left", nothingLeft},
		{"KEP", "peer away", peerAway},
	}
}

// faults are bad input, and what breaks; they are not part of what an implementation conforms to.
func faults() []check {
	return []check{
		{"Faults", "no endpoints", noEndpoints},
		{"Faults", "invalid Peers", invalidPeers},
		{"Faults", "Peer spoiled", peerSpoiled},
		{"Faults", "two clusters of one name", oneName},
		{"Faults", "CA replaced", caReplaced},
		{"Faults", "peer no longer trusted", noLongerTrusted},
		{"Faults", "rights of the proxies", proxiesRights},
		{"Faults", "rights of the others", othersRights},
		{"Faults", "slices of others", slicesOfOthers},
		{"Faults", "external service", externalService},
		{"Faults", "policies' CRD away", policiesAway},
		// From here on there is no journal of the first cluster's imports.
		{"Faults", "watch expired", watchExpired},
		{"Faults", "imports' CRD away", importsAway},
	}
}

// TestConformance runs all checks on one pair of clusters.
func TestConformance(t *testing.T) {
	w := newWorld(t)
	all := checks()
	if !w.lab.Users() { // a user's own clusters are not broken
		all = slices.Concat([]check{{"Faults", "diagnosed", diagnosed}}, all, faults()) // the first while nothing else is found
	}
	for _, c := range all {
		t.Run(c.String(), func(t *testing.T) { c.run(w.spec(t)) })
	}
}
