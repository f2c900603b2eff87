package peers

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/client-go/tools/record"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// What is beyond a Peer's quota is in its condition; there is one event, and no write for each number that a peer announces.
func TestQuotaCondition(t *testing.T) {
	t.Parallel()
	p := validPeer(t, "a")
	p.Spec.Quota = &v1alpha1.ImportQuota{Services: 3}
	w := newWorld(t, p)
	events := record.NewFakeRecorder(9)
	w.r.cfg.Events = events
	w.look(0)
	if c := w.conditions("a")["WithinQuota"]; c != "Unknown/Pending" {
		t.Error("before the peer is heard:", c)
	}
	revision := uint64(0)
	announce := func(services int) {
		revision++
		u := discovery.Update{
			Epoch: 1, Revision: revision,
			Exports: map[discovery.ServiceName]discovery.Metadata{}, Readiness: map[discovery.ServiceName]discovery.Endpoints{},
		}
		for i := range services {
			n := discovery.ServiceName{Namespace: "n", Name: fmt.Sprint("s", i)}
			u.Exports[n], u.Readiness[n] = discovery.Metadata{}, discovery.Endpoints{}
		}
		if err := w.r.cfg.Catalog.UpdateRemote(discovery.ReplicaID{Peer: "a", Replica: "r"}, u); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		services       int
		want           string
		writes, events int
	}{
		{3, "True/WithinQuota", 1, 0},
		{5, "False/QuotaExceeded", 1, 1},
		{6, "False/QuotaExceeded", 0, 0}, // a figure: later
		{2, "True/WithinQuota", 1, 0},
		{7, "False/QuotaExceeded", 1, 1},
	} {
		w.writes = 0
		announce(step.services)
		w.look(statusPace)
		if c := w.conditions("a")["WithinQuota"]; c != step.want || w.writes != step.writes || len(events.Events) != step.events {
			t.Errorf("%d services: %s after %d writes and %d events, want %+v", step.services, c, w.writes, len(events.Events), step)
		}
		for range len(events.Events) {
			e := <-events.Events
			if !strings.HasPrefix(e, "Warning QuotaExceeded") || !strings.Contains(e, "n/s3") || !strings.Contains(e, "spec.quota.services") {
				t.Error(e)
			}
		}
	}
	announce(8)
	if w.look(figuresPace); !strings.Contains(quotaCondition(&w.peer("a").Status).Message, "5 of 8 services") {
		t.Errorf("%+v", quotaCondition(&w.peer("a").Status))
	}
}
