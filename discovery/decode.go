package discovery

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/clip"
)

// maxParts is how many messages one update may have.
const maxParts = 4096

// decodeMessage reads a message. Fields that this release does not know are left out.
func decodeMessage(data []byte) (*catalogpb.Message, error) {
	if len(data) > messageSize {
		return nil, invalid("message", "%d bytes, at most %d", len(data), messageSize)
	}
	m := new(catalogpb.Message)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, m); err != nil {
		return nil, invalid("message", "not protobuf: %v", err)
	}
	return m, nil
}

// assembler checks the parts of updates from one replica and puts them together.
type assembler struct {
	peer string // the name in its certificate
	head head
	next uint32 // part that must follow; 0: a new update
	cost int    // estimated bytes of update
	update
}

// head is what all parts of an update have alike.
type head struct{ epoch, base, revision uint64 }

// update is one that is not complete yet.
type update struct {
	exports   map[ServiceName]Metadata
	readiness map[ServiceName]Endpoints
	withdrawn map[ServiceName]bool
}

// take adds a part; done is true with the last one, and u is the whole.
func (a *assembler) take(m *catalogpb.Update) (u Update, done bool, err error) {
	if err := a.checkHead(m); err != nil {
		return u, false, err
	}
	if m.GetPart() == 0 {
		a.head, a.cost = head{m.GetEpoch(), m.GetBase(), m.GetRevision()}, 0
		a.update = update{map[ServiceName]Metadata{}, map[ServiceName]Endpoints{}, map[ServiceName]bool{}}
	}
	if err := a.addAll(m); err != nil {
		return u, false, err
	}
	if !m.GetLast() {
		a.next++
		return u, false, nil
	}
	u = Update{Epoch: m.GetEpoch(), Base: m.GetBase(), Revision: m.GetRevision(), Exports: a.exports, Readiness: a.readiness}
	for n := range a.withdrawn {
		u.Withdrawn = append(u.Withdrawn, n)
	}
	a.next, a.update = 0, update{}
	return u, true, nil
}

func (a *assembler) checkHead(m *catalogpb.Update) error {
	switch {
	case m.GetCluster() != a.peer:
		return invalid("update.cluster", "%q, but its certificate says %q", clip.Name(m.GetCluster()), a.peer)
	case m.GetEpoch() == 0:
		return invalid("update.epoch", "must not be 0")
	case m.GetRevision() <= m.GetBase():
		return invalid("update.revision", "%d is not after base %d", m.GetRevision(), m.GetBase())
	case m.GetPart() != a.next:
		return invalid("update.part", "%d where %d must follow", m.GetPart(), a.next)
	case m.GetPart() >= maxParts:
		return invalid("update.part", "more than %d parts", maxParts)
	case a.next > 0 && a.head != head{m.GetEpoch(), m.GetBase(), m.GetRevision()}:
		return invalid("update.revision", "another update begins before the last part of this one")
	case m.GetBase() == 0 && len(m.GetWithdrawn()) > 0:
		return invalid("update.withdrawn", "a snapshot withdraws nothing")
	}
	return nil
}

func (a *assembler) addAll(m *catalogpb.Update) error {
	for i, e := range m.GetExports() {
		if err := a.addExport(fmt.Sprintf("update.exports[%d]", i), e); err != nil {
			return err
		}
	}
	for i, r := range m.GetReadiness() {
		if err := a.addReadiness(fmt.Sprintf("update.readiness[%d]", i), r); err != nil {
			return err
		}
	}
	for i, s := range m.GetWithdrawn() {
		at := fmt.Sprintf("update.withdrawn[%d]", i)
		n, err := decodeService(at, s)
		if err != nil {
			return err
		}
		if a.withdrawn[n] {
			return invalid(at, "%s is there twice", n)
		}
		a.withdrawn[n] = true
		a.cost += exportCost(n, &PeerExport{})
	}
	for _, n := range []int{len(a.exports), len(a.readiness), len(a.withdrawn)} {
		if n > MaxServices {
			return invalid("update", "more than %d services", MaxServices)
		}
	}
	if a.cost > maxAdvertBytes {
		return invalid("update", "needs more than %d MiB of memory", maxAdvertBytes>>20)
	}
	return nil
}

func (a *assembler) addExport(at string, e *catalogpb.Export) error {
	n, err := decodeService(at+".service", e.GetService())
	if err != nil {
		return err
	}
	if _, twice := a.exports[n]; twice {
		return invalid(at+".service", "%s is there twice", n)
	}
	if len(e.GetPorts()) > MaxPorts {
		return invalid(at+".ports", "%d ports, at most %d", len(e.GetPorts()), MaxPorts)
	}
	type number struct {
		port     uint16
		protocol string
	}
	seen := make(map[number]bool, len(e.GetPorts()))
	ports := make([]ServicePort, 0, len(e.GetPorts()))
	for i, p := range e.GetPorts() {
		sp, err := decodePort(fmt.Sprintf("%s.ports[%d]", at, i), p)
		if err != nil {
			return err
		}
		if seen[number{sp.Port, sp.Protocol}] {
			return invalid(fmt.Sprintf("%s.ports[%d].port", at, i), "%d/%s is there twice", sp.Port, sp.Protocol)
		}
		seen[number{sp.Port, sp.Protocol}] = true
		ports = append(ports, sp)
	}
	m, err := decodeMetadata(at, e)
	if err != nil {
		return err
	}
	m.Ports = ports
	a.exports[n] = m
	a.cost += exportCost(n, &PeerExport{Ports: ports, Spec: m.Spec, Export: m.Export})
	return nil
}

func (a *assembler) addReadiness(at string, r *catalogpb.Readiness) error {
	n, err := decodeService(at+".service", r.GetService())
	if err != nil {
		return err
	}
	if _, twice := a.readiness[n]; twice {
		return invalid(at+".service", "%s is there twice", n)
	}
	if len(r.GetRows()) > maxReadiness {
		return invalid(at+".rows", "%d rows, at most %d", len(r.GetRows()), maxReadiness)
	}
	type place struct {
		port     uint16
		locality Locality
	}
	seen := make(map[place]bool, len(r.GetRows()))
	rows := make([]Readiness, 0, len(r.GetRows()))
	for i, row := range r.GetRows() {
		at := fmt.Sprintf("%s.rows[%d]", at, i)
		d, err := decodeRow(at, row)
		if err != nil {
			return err
		}
		if seen[place{d.Port, d.Locality}] {
			return invalid(at, "port %d in %s is there twice", d.Port, d.Locality)
		}
		seen[place{d.Port, d.Locality}] = true
		rows = append(rows, d)
	}
	pods, err := decodePods(at+".pods", r.GetPods())
	if err != nil {
		return err
	}
	a.readiness[n] = Endpoints{Rows: rows, Pods: pods}
	a.cost += exportCost(n, &PeerExport{Readiness: rows, Pods: pods})
	return nil
}

func decodeService(at string, s *catalogpb.Service) (ServiceName, error) {
	n := ServiceName{Namespace: s.GetNamespace(), Name: s.GetName()}
	if err := checkString(at+".namespace", n.Namespace, validation.IsDNS1123Label); err != nil {
		return n, err
	}
	return n, checkString(at+".name", n.Name, validation.IsDNS1123Label)
}

func decodePort(at string, p *catalogpb.Port) (ServicePort, error) {
	port, err := decodeNumber(at+".port", p.GetPort())
	if err != nil {
		return ServicePort{}, err
	}
	sp := ServicePort{Name: p.GetName(), Port: port, Protocol: p.GetProtocol(), AppProtocol: p.GetAppProtocol(), HTTP: p.GetHttp()}
	switch sp.Protocol {
	case TCP, UDP, SCTP:
	default:
		return sp, invalid(at+".protocol", "%q is none of TCP, UDP, SCTP", clip.Name(sp.Protocol))
	}
	if sp.HTTP && sp.Protocol != TCP {
		return sp, invalid(at+".http", "%d/%s cannot be HTTP", sp.Port, sp.Protocol)
	}
	if sp.Name != "" {
		if err := checkString(at+".name", sp.Name, validation.IsDNS1123Label); err != nil {
			return sp, err
		}
	}
	if sp.AppProtocol != "" {
		if len(sp.AppProtocol) > maxAppProtocol {
			return sp, invalid(at+".appProtocol", "longer than %d bytes", maxAppProtocol)
		}
		return sp, checkString(at+".appProtocol", sp.AppProtocol, validation.IsQualifiedName)
	}
	return sp, nil
}

func decodeRow(at string, r *catalogpb.Readiness_Row) (Readiness, error) {
	port, err := decodeNumber(at+".port", r.GetPort())
	if err != nil {
		return Readiness{}, err
	}
	d := Readiness{
		Locality: Locality{Region: r.GetRegion(), Zone: r.GetZone()},
		Port:     port, Ready: r.GetReady(), Terminating: r.GetTerminating(), Total: r.GetTotal(),
		InFlight: min(r.GetMaxInFlightPerEndpoint(), v1alpha1.MaxInFlight), // more would be no limit either
	}
	if err := checkString(at+".region", d.Locality.Region, validation.IsValidLabelValue); err != nil {
		return d, err
	}
	if err := checkString(at+".zone", d.Locality.Zone, validation.IsValidLabelValue); err != nil {
		return d, err
	}
	switch {
	case d.Total > maxEndpoints:
		return d, invalid(at+".total", "%d, at most %d", d.Total, maxEndpoints)
	case d.Ready > d.Total:
		return d, invalid(at+".ready", "%d of %d endpoints", d.Ready, d.Total)
	case d.Terminating > d.Total-d.Ready:
		return d, invalid(at+".terminating", "%d of %d endpoints, of which %d are ready", d.Terminating, d.Total, d.Ready)
	}
	return d, nil
}

func decodeNumber(at string, port uint32) (uint16, error) {
	if port == 0 || port > math.MaxUint16 {
		return 0, invalid(at, "%d is not a port", port)
	}
	return uint16(port), nil
}

func checkString(at, value string, valid func(string) []string) error {
	const longest = validation.DNS1123SubdomainMaxLength + 1 + validation.DNS1123LabelMaxLength // before a regular expression sees it
	if len(value) > longest {
		return invalid(at, "longer than %d bytes", longest)
	}
	if msgs := valid(value); len(msgs) > 0 {
		return invalid(at, "%q: %s", clip.Name(value), msgs[0])
	}
	return nil
}
