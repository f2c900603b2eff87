package drills

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/status"
)

const (
	external = "mydb"
	// wrongPort is one on which the endpoint does not listen.
	wrongPort = 81
	// externalRate of each zone, per second.
	externalRate = 30
)

// outside is one endpoint of the external service.
type outside struct {
	Address, Region string
	Port            int
}

// externalService is drill D4: a service outside all clusters has an endpoint in each region, and that of the own region gets a wrong port.
func externalService(s stage, t *testing.T) {
	home, away := s.sites()[0], s.sites()[1]
	near, far := deployOutside(s, t)
	apply := func(port int) error {
		near.Port = port
		return s.apply(t.Context(), home, "external.yaml", map[string]any{
			"Endpoints": []outside{near, far}, "Failover": []map[string]string{{"From": home.Region, "To": away.Region}},
		})
	}
	if err := apply(chain.Port); err != nil {
		t.Fatal(err)
	}
	host, err := s.hostOf(t.Context(), home, external)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + host + "/"
	if err := awaitAnswers(t.Context(), s, home, url); err != nil {
		t.Fatal(err)
	}
	d := begin(s, t, "external service", func(c, _ *site, _ string) load.Config {
		if c != home {
			return load.Config{}
		}
		return load.Config{Calls: []load.Calls{{URL: url, Rate: externalRate}}}
	})
	d.watched = external
	d.today = "the first call after the change fails, then the other region answers"
	by := func(region string) func(*record) bool {
		return func(r *record) bool { return r.ok() && r.by(external) == region }
	}
	answered := func(region string) func([]record) bool {
		return lastTo(manyCalls, home.Zones, []string{url}, by(region))
	}

	d.phase("healthy")
	d.await("the own region answers", answered(home.Region))

	d.phase("own region's port is wrong")
	d.look(by(away.Region))
	d.must(apply(wrongPort))
	d.await("the other region answers", answered(away.Region))
	d.awaitOutlier(home, fmt.Sprintf("%s:%d", near.Address, wrongPort))

	d.phase("repaired")
	d.look(by(home.Region))
	d.must(apply(chain.Port))
	d.await("the own region answers", answered(home.Region))
	d.end()
}

// deployOutside what no cluster knows, until the test ends.
func deployOutside(s stage, t *testing.T) (near, far outside) {
	t.Helper()
	ctx := t.Context()
	home, away := s.sites()[0], s.sites()[1]
	removeAtEnd(s, t, home, external, external+"-"+home.Region, external+"-"+away.Region)
	regions := []string{home.Region, away.Region}
	err := s.apply(ctx, home, "outside.yaml", map[string]any{"Image": mockImage, "Regions": regions})
	if err := errors.Join(err, s.rolledOut(ctx, home)); err != nil {
		t.Fatal(err)
	}
	for i, region := range regions {
		pods, err := s.running(ctx, home, external+"-"+region)
		if err != nil || len(pods) != 1 {
			t.Fatalf("%d pods of %s, %v", len(pods), region, err)
		}
		*[]*outside{&near, &far}[i] = outside{Address: pods[0].ip, Region: region, Port: chain.Port}
	}
	return near, far
}

// awaitOutlier until all proxies of the cluster show that endpoint of the external service with a failed outlier check.
func (d *drill) awaitOutlier(c *site, address string) {
	d.Helper()
	d.must(lab.Await(d.Context(), address+" to be ejected", patience, func(ctx context.Context) error {
		answers, err := d.endpoints(ctx, c, external)
		if err != nil {
			return err
		}
		for _, a := range answers {
			shown := ""
			for i := range a.Endpoints {
				if e := &a.Endpoints[i]; strings.HasPrefix(e.Address, address) {
					shown = e.OutlierCheck
				}
			}
			if shown != status.CheckFailed {
				return fmt.Errorf("a proxy shows %q", shown)
			}
		}
		return nil
	}))
	d.notes = append(d.notes, "the table of endpoints shows the wrong port as OUTLIER CHECK FAILED at each proxy")
}
