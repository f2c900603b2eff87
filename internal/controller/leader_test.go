package controller

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"k8s.io/client-go/rest"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/controller/identity"
)

// An alert is about clusters where no replica leads.
func TestLeaderMetric(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	c, err := New(Config{
		REST: &rest.Config{}, Cluster: "east", TrustDomain: spiffeid.RequireTrustDomainFromString("east.test"), Namespace: "eastway-system",
		Names: NamesOf("eastway"), Catalog: discovery.NewCatalog(nil), Identity: &identity.Holder{}, Registerer: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(reg, "eastway_controller_leader"); err != nil || n != 1 || testutil.ToFloat64(c.leader) != 0 {
		t.Errorf("before the election: %d series, %v, %v", n, testutil.ToFloat64(c.leader), err)
	}
	elected := make(chan struct{})
	close(elected)
	c.awaitLead(t.Context(), elected)
	if testutil.ToFloat64(c.leader) != 1 {
		t.Error("a replica that leads does not say so")
	}
}
