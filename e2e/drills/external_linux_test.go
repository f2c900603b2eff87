package drills

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

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

// externalService is drill D4: a service outside all clusters has an endpoint in each region. That of the own region gets a wrong port; then
// the proxies add TLS, and its certificate has expired.
func externalService(s stage, t *testing.T) {
	home, away := s.sites()[0], s.sites()[1]
	ca, trust, err := s.trustOutside(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	near, far := deployOutside(s, t, ca)
	secure := map[string]string(nil)
	apply := func(nearPort, farPort int) error {
		near.Port, far.Port = nearPort, farPort
		return s.apply(t.Context(), home, "external.yaml", map[string]any{
			"Endpoints": []outside{near, far}, "Failover": []map[string]string{{"From": home.Region, "To": away.Region}}, "TLS": secure,
		})
	}
	if err := apply(chain.Port, chain.Port); err != nil {
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
	d.must(apply(wrongPort, chain.Port))
	d.await("the other region answers", answered(away.Region))
	d.awaitEndpoint(home, fmt.Sprintf("%s:%d", near.Address, wrongPort), status.CheckFailed)
	d.notes = append(d.notes, "the table of endpoints shows the wrong port as OUTLIER CHECK FAILED at each proxy")

	d.phase("repaired")
	d.look(by(home.Region))
	d.must(apply(chain.Port, chain.Port))
	d.await("the own region answers", answered(home.Region))

	d.phase("over TLS") // the applications still send plain HTTP
	secure = map[string]string{"mode": "SIMPLE"}
	maps.Copy(secure, trust)
	d.must(apply(chain.TLSPort, chain.TLSPort))
	d.awaitEndpoint(home, fmt.Sprintf("%s:%d", near.Address, chain.TLSPort), status.CheckOK)
	d.await("the own region answers", answered(home.Region))

	d.phase("own region's certificate has expired")
	d.look(by(away.Region))
	d.must(apply(chain.ExpiredPort, chain.TLSPort))
	d.await("the other region answers", answered(away.Region))
	d.awaitEndpoint(home, fmt.Sprintf("%s:%d", near.Address, chain.ExpiredPort), status.CheckFailed)
	d.end()
}

// deployOutside what no cluster knows, until the test ends.
func deployOutside(s stage, t *testing.T, ca *authority) (near, far outside) {
	t.Helper()
	ctx := t.Context()
	home, away := s.sites()[0], s.sites()[1]
	removeAtEnd(s, t, home, external, external+"-"+home.Region, external+"-"+away.Region)
	regions := []string{home.Region, away.Region}
	certificates := map[string]string{}
	for prefix, until := range map[string]time.Time{"": time.Now().Add(time.Hour), "expired_": time.Now().Add(-time.Hour)} {
		var err error
		if certificates[prefix+"certificate"], certificates[prefix+"key"], err = ca.issue("mydb.com", until); err != nil {
			t.Fatal(err)
		}
	}
	err := s.apply(ctx, home, "outside.yaml", map[string]any{"Image": mockImage, "Regions": regions, "Certificates": certificates})
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

// awaitEndpoint until all proxies of the cluster show that endpoint of the external service with that outlier check.
func (d *drill) awaitEndpoint(c *site, address, check string) {
	d.Helper()
	d.must(lab.Await(d.Context(), address+" to be "+check, patience, func(ctx context.Context) error {
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
			if shown != check {
				return fmt.Errorf("a proxy shows %q", shown)
			}
		}
		return nil
	}))
}
