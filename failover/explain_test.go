package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

// A zone alone is enough for a caller, and what is wrong in a query is named.
func TestExplain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("A", here), locals("B", beside))
	query := func(change func(*status.Query)) status.Query {
		q := status.Query{Namespace: echoName.Namespace, Name: echoName.Name}
		change(&q)
		return q
	}
	for name, tt := range map[string]struct {
		query status.Query
		want  string // where the first candidate is, or any if it is one of two alike, the share of the calls there, and the rule
	}{
		"from here":    {query(func(*status.Query) {}), fmt.Sprint(here, " 100 own zone")},
		"a zone":       {query(func(q *status.Query) { q.From = beside.Zone }), fmt.Sprint(beside, " 100 own zone")},
		"another zone": {query(func(q *status.Query) { q.From = "x" }), " 50 failover: own region, nothing nearer serves"},
		"region and zone": {
			query(func(q *status.Query) { q.From = "x/y" }), " 50 failover: region cn-hangzhou, nothing nearer serves",
		},
		"an address":   {query(func(q *status.Query) { q.Source = "192.0.2.1" }), fmt.Sprint(here, " 100 own zone")},
		"no address":   {query(func(q *status.Query) { q.Source = "x" }), `source "x" is not an IP address`},
		"no such port": {query(func(q *status.Query) { q.Port = 1 }), "service shop/echo has no TCP port 1; it has [8000]"},
		"no request":   {query(func(q *status.Query) { q.Request = []byte("x") }), "line 1: the proxy refuses such a request: request-line"},
		"no service":   {status.Query{Namespace: "shop", Name: "x"}, "none"},
	} {
		got := "none"
		ports, err := w.proxy.Explain(t.Context(), tt.query)
		switch {
		case err != nil:
			got = err.Error()
		case len(ports) == 1:
			first := ports[0].Candidates[0]
			got = fmt.Sprintf("%s %.0f %s", discovery.Locality{Region: first.Region, Zone: first.Zone}, first.Share, first.Rule)
		}
		if f := tt.query.From; err == nil && len(ports) == 1 && strings.HasPrefix(f, "x") != strings.HasPrefix(ports[0].Note, "Nothing is in ") {
			t.Errorf("%s: note %q", name, ports[0].Note)
		}
		oneOfTwo := strings.HasPrefix(tt.want, " ") && strings.HasSuffix(got, tt.want)
		if got != tt.want && !oneOfTwo {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.proxy.Explain(gone, query(func(*status.Query) {})); !errors.Is(err, context.Canceled) {
		t.Errorf("for a caller that is gone: %v", err)
	}
}
