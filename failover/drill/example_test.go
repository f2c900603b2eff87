package drill_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/drill"
)

func Example() {
	places := []balance.Candidate{
		{Address: balance.Address{Endpoint: netip.MustParseAddrPort("10.1.0.1:80")}, Locality: discovery.Locality{Region: "eu", Zone: "a"}},
		{Address: balance.Address{Peer: "west"}, Locality: discovery.Locality{Region: "us", Zone: "a"}},
	}
	drills := drill.New(drill.Config{
		Candidates: func(balance.Key, balance.Caller) []balance.Candidate { return places },
	})
	id, err := drills.Start(drill.Spec{Kind: drill.RegionLoss, Scope: drill.Scope{Region: "eu"}, Percent: 100, For: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}

	entry := &access.Entry{Started: time.Now(), Result: access.OK, Cluster: "west", Locality: places[1].Locality}
	call := drills.Begin(entry, balance.Key{}, balance.Caller{})
	for i := range places {
		fmt.Println(places[i].String(), "is left:", call.Filter()(&places[i]))
	}
	entry.Drill.Finished(entry)

	report, err := drills.Stop(id)
	fmt.Println(report.Affected.Total, report.Affected.Failed, report.Moves[0].To, report.Ended, err)
	// Output:
	// 10.1.0.1:80 is left: false
	// west is left: true
	// 1 0 west us/a the operator ended it <nil>
}
