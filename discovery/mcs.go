package discovery

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Import is a service as all clusters together export it (KEP-1645, "Constraints and Conflict Resolution").
type Import struct {
	// Clusters export the service, in the order of precedence: oldest export first, the own one among equals, then by name. None: there is
	// no import.
	Clusters []string
	// Ports are the union of what the clusters export: of ports with the same name, or the same number and protocol,
	// that of the cluster which comes first.
	Ports []ServicePort
	// Spec, Labels and Annotations are those of the first cluster.
	Spec        ServiceSpec
	Labels      map[string]string
	Annotations map[string]string
	// Conflicts are in the order of the Field constants, one for each field at most.
	Conflicts []Conflict
}

// Conflict is a field in which clusters differ.
type Conflict struct {
	// Field is one of the Field constants.
	Field string
	// Used is the value that counts, of Cluster; empty for ports, labels and annotations.
	Used    string
	Cluster string
	// Disagree are the clusters with another value, sorted.
	Disagree []string
}

// Fields that clusters may differ in. IP families are none: calls cross clusters in tunnels, whatever the families on either side.
const (
	FieldPorts                 = "ports"
	FieldType                  = "type"
	FieldSessionAffinity       = "sessionAffinity"
	FieldSessionAffinityConfig = "sessionAffinityConfig"
	FieldInternalTrafficPolicy = "internalTrafficPolicy"
	FieldTrafficDistribution   = "trafficDistribution"
	FieldLabels                = "exportedLabels"
	FieldAnnotations           = "exportedAnnotations"
)

// offer is what one cluster exports.
type offer struct {
	cluster string
	own     bool
	ports   []ServicePort
	spec    ServiceSpec
	export  Export
	heard   time.Time
}

// since is from when the export counts: no peer's is older than when this cluster first heard of it. Zero: its age is not known.
func (o *offer) since() time.Time {
	if created := o.export.Created; created.IsZero() || created.After(o.heard) {
		return created
	}
	return o.heard
}

// Resolve merges what the own cluster and its peers export, the same way in every cluster that heard of the exports in the order of their
// age. s.Ports count as the own cluster's; s.Precedence does not count.
func Resolve(cluster string, s *Service) Import {
	offers := offersOf(cluster, s)
	if len(offers) == 0 {
		return Import{}
	}
	slices.SortFunc(offers, precedence)
	first := &offers[0]
	i := Import{Spec: first.spec, Labels: first.export.Labels, Annotations: first.export.Annotations}
	for n := range offers {
		i.Clusters = append(i.Clusters, offers[n].cluster)
		i.Ports = addPorts(i.Ports, offers[n].ports)
	}
	i.Conflicts = conflicts(offers, i.Ports)
	return i
}

// Decisive is the spec that counts for calls that mean the service as all clusters export it; without any export it is the own spec.
func (s *Service) Decisive(cluster string) ServiceSpec {
	offers := offersOf(cluster, s)
	if len(offers) == 0 {
		return s.Spec
	}
	return slices.MinFunc(offers, s.byPrecedence).spec
}

// byPrecedence is the order that the controller has found; without it the own export comes first.
func (s *Service) byPrecedence(a, b offer) int {
	rank := func(o *offer) int {
		switch i := slices.Index(s.Precedence, o.cluster); {
		case s.Precedence == nil && o.own:
			return -1
		case i < 0: // it is newer than the controller's list
			return len(s.Precedence)
		default:
			return i
		}
	}
	return cmp.Or(cmp.Compare(rank(&a), rank(&b)), precedence(a, b))
}

// inPrecedence are the peers' exports in the order in which they decide.
func (s *Service) inPrecedence() []*PeerExport {
	sorted := make([]*PeerExport, len(s.Peers))
	for i := range s.Peers {
		sorted[i] = &s.Peers[i]
	}
	slices.SortFunc(sorted, func(a, b *PeerExport) int { return s.byPrecedence(offerOf(a), offerOf(b)) })
	return sorted
}

func offersOf(cluster string, s *Service) []offer {
	offers := make([]offer, 0, len(s.Peers)+1)
	if s.Export != nil {
		offers = append(offers, offer{cluster: cluster, own: true, ports: s.Ports, spec: s.Spec, export: *s.Export})
	}
	for i := range s.Peers {
		offers = append(offers, offerOf(&s.Peers[i]))
	}
	return offers
}

func offerOf(e *PeerExport) offer {
	return offer{cluster: e.Peer, ports: e.Ports, spec: e.Spec, export: e.Export, heard: e.Heard}
}

// precedence puts the oldest export first; of equally old ones the own, then that which claims to be older, then the smaller cluster name.
func precedence(a, b offer) int {
	own := 0
	switch {
	case a.own:
		own = -1
	case b.own:
		own = 1
	}
	return cmp.Or(compareAge(a.since(), b.since()), own, compareAge(a.export.Created, b.export.Created), cmp.Compare(a.cluster, b.cluster))
}

// compareAge compares whole seconds, as Kubernetes' timestamps have them. Unknown creation times sort last.
func compareAge(a, b time.Time) int {
	if a.IsZero() != b.IsZero() {
		if a.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.Unix(), b.Unix())
}

// addPorts adds those of more that have neither a name nor a number and protocol that is taken.
func addPorts(ports, more []ServicePort) []ServicePort {
	for _, p := range more {
		taken := slices.ContainsFunc(ports, func(o ServicePort) bool {
			return o.Name == p.Name || o.Port == p.Port && o.Protocol == p.Protocol
		})
		if !taken {
			ports = append(ports, p)
		}
	}
	return ports
}

// conflicts compares all offers with the first one, and their ports with the union: a port that only some clusters have
// reaches only some endpoints.
func conflicts(offers []offer, union []ServicePort) []Conflict {
	var found []Conflict
	differ := func(field, used string, same func(o *offer) bool) {
		c := Conflict{Field: field, Used: used, Cluster: offers[0].cluster}
		for n := range offers {
			if !same(&offers[n]) {
				c.Disagree = append(c.Disagree, offers[n].cluster)
			}
		}
		if len(c.Disagree) > 0 {
			slices.Sort(c.Disagree)
			found = append(found, c)
		}
	}
	first := &offers[0]
	differ(FieldPorts, "", func(o *offer) bool { return samePorts(o.ports, union) })
	differ(FieldType, importType(&first.spec), func(o *offer) bool { return o.spec.Headless == first.spec.Headless })
	differ(FieldSessionAffinity, cmp.Or(first.spec.SessionAffinity, "None"), func(o *offer) bool {
		return o.spec.SessionAffinity == first.spec.SessionAffinity
	})
	differ(FieldSessionAffinityConfig, strconv.Itoa(int(first.spec.SessionAffinityTimeout.Seconds()))+" s", func(o *offer) bool {
		return o.spec.SessionAffinity != first.spec.SessionAffinity ||
			o.spec.SessionAffinityTimeout == first.spec.SessionAffinityTimeout
	})
	differ(FieldInternalTrafficPolicy, cmp.Or(first.spec.InternalTrafficPolicy, "Cluster"), func(o *offer) bool {
		return o.spec.InternalTrafficPolicy == first.spec.InternalTrafficPolicy
	})
	differ(FieldTrafficDistribution, cmp.Or(first.spec.TrafficDistribution, "none"), func(o *offer) bool {
		return o.spec.TrafficDistribution == first.spec.TrafficDistribution
	})
	differ(FieldLabels, "", func(o *offer) bool { return maps.Equal(o.export.Labels, first.export.Labels) })
	differ(FieldAnnotations, "", func(o *offer) bool { return maps.Equal(o.export.Annotations, first.export.Annotations) })
	return found
}

func importType(s *ServiceSpec) string {
	if s.Headless {
		return "Headless"
	}
	return "ClusterSetIP"
}

// samePorts compares without regard to order, and to how ports are carried: that each cluster decides for its own callers.
func samePorts(a, b []ServicePort) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(p ServicePort) bool {
		return !slices.ContainsFunc(b, func(o ServicePort) bool {
			o.HTTP = p.HTTP
			return o == p
		})
	})
}

// Heard is true when the peer has sent its exports since the catalog was created. Before that, a service that is not
// among its exports may be one all the same.
func (c *Catalog) Heard(peer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[peer]
	return p != nil && p.current != nil
}
