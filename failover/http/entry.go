package http

import (
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/http/h1"
)

// newEntry is the line of the access log that a request begins with.
func newEntry(cluster string, f *front, c *call, of *access.HTTP) *access.Entry {
	e := &access.Entry{
		Started: time.Now(), Direction: access.Outbound, Service: f.from.Service.String(), Port: f.from.Port,
		Caller: c.address, CallerCluster: f.from.cluster(cluster), CallerLocality: c.locality, HTTP: of,
	}
	if f.from.peer != "" {
		e.Direction, e.Lane, e.PeerAddress = access.Inbound, f.from.lane, f.from.address
	}
	return e
}

// refusedEntry is the line of a request that is not well-formed.
func refusedEntry(cluster string, f *front, v *h1.Violation) *access.Entry {
	e := newEntry(cluster, f, &f.from.caller, &access.HTTP{Status: v.Status()})
	e.Result, e.Ended, e.Err = access.Refused, "malformed", v
	return e
}

// answeredBy fills in which endpoint the answer is from.
func (e *exchange) answeredBy(t *try) {
	defer e.entry.AcceptedNow()
	at := &t.up.at
	e.entry.Endpoint, e.entry.Cluster, e.entry.Locality = at.String(), at.Cluster, at.Locality
	stream, ok := t.up.wire.Conn.(streamConn)
	if !ok {
		return
	}
	e.entry.Lane = laneOf(stream)
	endpoint, where := t.report.endpoint, t.report.locality // by request
	if a := stream.Answer(); a != nil && !a.GetHttp() {
		endpoint = access.Clip(a.GetEndpoint())
		where.Region, where.Zone = access.Clip(a.GetEndpointLocality().GetRegion()), access.Clip(a.GetEndpointLocality().GetZone())
	}
	if endpoint != "" {
		e.entry.Endpoint = endpoint
	}
	if where.Region != "" {
		e.entry.Locality.Region, e.entry.Locality.Zone = where.Region, where.Zone
	}
}

// laneOf is a stream's lane in the access log.
func laneOf(s dial.Stream) string { return s.Info().Replica + "/" + s.Info().Lane }
