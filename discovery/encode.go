package discovery

import (
	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/discovery/catalogpb"
)

// itemRoom is what a list entry takes in a message beside its own bytes: a tag and a length.
const itemRoom = 6

// encoder cuts an update into messages of at most messageSize bytes.
type encoder struct {
	head  *catalogpb.Update // what all parts have in common
	parts []*catalogpb.Update
	size  int // of the last part, without its head
}

// encode makes the messages of one update; there is always one, so that an empty snapshot is sent as well.
func encode(cluster string, epoch uint64, d *delta) ([][]byte, error) {
	e := &encoder{head: &catalogpb.Update{Cluster: cluster, Epoch: epoch, Base: d.base, Revision: d.revision}}
	e.begin()
	for _, c := range d.changes {
		service := &catalogpb.Service{Namespace: c.name.Namespace, Name: c.name.Name}
		if c.export == nil {
			p := e.room(service)
			p.Withdrawn = append(p.Withdrawn, service)
			continue
		}
		if c.parts&partMetadata != 0 {
			x := encodeExport(service, &c.export.metadata)
			p := e.room(x)
			p.Exports = append(p.Exports, x)
		}
		if c.parts&partReadiness != 0 {
			r := &catalogpb.Readiness{Service: service, Rows: encodeRows(c.export.endpoints.Rows), Pods: encodePods(c.export.endpoints.Pods)}
			p := e.room(r)
			p.Readiness = append(p.Readiness, r)
		}
	}
	e.parts[len(e.parts)-1].Last = true
	messages := make([][]byte, 0, len(e.parts))
	for _, p := range e.parts {
		b, err := marshal(&catalogpb.Message{Message: &catalogpb.Message_Update{Update: p}})
		if err != nil {
			return nil, err
		}
		messages = append(messages, b)
	}
	return messages, nil
}

func marshal(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func (e *encoder) begin() {
	e.parts = append(e.parts, &catalogpb.Update{
		Cluster: e.head.GetCluster(), Epoch: e.head.GetEpoch(), Base: e.head.GetBase(), Revision: e.head.GetRevision(),
		Part: uint32(len(e.parts)), // a catalog has few parts
	})
	e.size = 0
}

// room returns a part with room for the item.
func (e *encoder) room(item proto.Message) *catalogpb.Update {
	n := proto.Size(item) + itemRoom
	if e.size > 0 && e.size+n > messageSize-messageRoom {
		e.begin()
	}
	e.size += n
	return e.parts[len(e.parts)-1]
}

func encodeExport(service *catalogpb.Service, m *Metadata) *catalogpb.Export {
	x := &catalogpb.Export{
		Service: service, Ports: encodePorts(m.Ports), Headless: m.Spec.Headless,
		SessionAffinity: m.Spec.SessionAffinity, SessionAffinitySeconds: uint32(m.Spec.SessionAffinityTimeout.Seconds()),
		InternalTrafficPolicy: m.Spec.InternalTrafficPolicy, TrafficDistribution: m.Spec.TrafficDistribution,
		IpFamilies: m.Spec.IPFamilies, Labels: m.Export.Labels, Annotations: m.Export.Annotations,
	}
	if at := m.Export.Created.Unix(); at > 0 {
		x.Created = uint64(at)
	}
	return x
}

func encodePods(pods []Pod) []*catalogpb.Readiness_Pod {
	out := make([]*catalogpb.Readiness_Pod, 0, len(pods))
	for _, p := range pods {
		out = append(out, &catalogpb.Readiness_Pod{
			Hostname: p.Hostname, Region: p.Locality.Region, Zone: p.Locality.Zone, Ready: p.Ready,
		})
	}
	return out
}

func encodePorts(ports []ServicePort) []*catalogpb.Port {
	out := make([]*catalogpb.Port, 0, len(ports))
	for _, p := range ports {
		out = append(out, &catalogpb.Port{
			Name: p.Name, Port: uint32(p.Port), Protocol: p.Protocol, AppProtocol: p.AppProtocol, Http: p.HTTP,
		})
	}
	return out
}

func encodeRows(rows []Readiness) []*catalogpb.Readiness_Row {
	out := make([]*catalogpb.Readiness_Row, 0, len(rows))
	for _, r := range rows {
		out = append(out, &catalogpb.Readiness_Row{
			Port: uint32(r.Port), Region: r.Locality.Region, Zone: r.Locality.Zone, Ready: r.Ready,
			Terminating: r.Terminating, Total: r.Total, MaxInFlightPerEndpoint: r.InFlight,
		})
	}
	return out
}
