package http

import (
	"net/http"
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/http/h1"
)

// newEntry is the line of the access log that a request begins with.
func newEntry(cluster string, f *front, of *access.HTTP) *access.Entry {
	return &access.Entry{
		Started: time.Now(), Direction: access.Outbound, Service: f.from.Service.String(), Port: f.from.Port,
		Caller: f.call.Caller, CallerCluster: cluster, CallerLocality: f.from.locality, HTTP: of,
	}
}

func described(r *http.Request) *access.HTTP {
	return &access.HTTP{
		Method: access.Clip(r.Method), Path: access.Clip(r.RequestURI), Protocol: r.Proto,
		Authority: access.Clip(r.Host), UserAgent: access.Clip(r.UserAgent()), RequestID: access.Clip(r.Header.Get("X-Request-Id")),
	}
}

// refusedEntry is the line of a request that is not well-formed.
func refusedEntry(cluster string, f *front, v *h1.Violation) *access.Entry {
	e := newEntry(cluster, f, &access.HTTP{Status: v.Status()})
	e.Result, e.Ended, e.Err = access.Refused, "malformed", v
	return e
}

// answeredBy fills in which endpoint the answer is from.
func (e *exchange) answeredBy(t *try) {
	at := &t.up.at
	e.entry.Endpoint, e.entry.Cluster, e.entry.Locality = at.String(), at.Cluster, at.Locality
	e.entry.Accepted = time.Since(e.entry.Started)
	if stream, ok := t.up.wire.Conn.(streamConn); ok {
		info := stream.Info()
		e.entry.Lane = info.Replica + "/" + info.Lane
		if a := stream.Answer(); a != nil {
			e.entry.Endpoint = access.Clip(a.GetEndpoint())
			if l := a.GetEndpointLocality(); l != nil {
				e.entry.Locality.Region, e.entry.Locality.Zone = access.Clip(l.GetRegion()), access.Clip(l.GetZone())
			}
		}
	}
}
