package drill

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/internal/bubble"
)

var (
	cart  = balance.Key{Service: discovery.ServiceName{Namespace: "shop", Name: "cart"}, Port: 80}
	web   = discovery.ServiceName{Namespace: "shop", Name: "web"}
	user  = balance.Caller{Cluster: "east", Address: "10.1.0.7:4711"}
	zoneA = discovery.Locality{Region: "eu", Zone: "a"}
	zoneB = discovery.Locality{Region: "eu", Zone: "b"}
	us    = discovery.Locality{Region: "us", Zone: "a"}
)

// places are where cart's calls go: its own zone, the next one, and a peer in another region.
func places(balance.Key, balance.Caller) []balance.Candidate {
	return []balance.Candidate{
		{Address: balance.Address{Endpoint: netip.MustParseAddrPort("10.1.0.1:80")}, Cluster: "east", Locality: zoneA},
		{Address: balance.Address{Endpoint: netip.MustParseAddrPort("10.1.0.2:80")}, Cluster: "east", Locality: zoneB},
		{Address: balance.Address{Peer: "west"}, Cluster: "west", Locality: us},
	}
}

func started(t *testing.T, spec Spec) (*Drills, string) {
	t.Helper()
	d := New(Config{Candidates: places})
	id, err := d.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	return d, id
}

// keep is what a call may try.
func keep(c *Call, all []balance.Candidate) []balance.Candidate {
	filter := c.Filter()
	if filter == nil {
		return all
	}
	return slices.DeleteFunc(all, func(one balance.Candidate) bool { return !filter(&one) })
}

// call is one from begin to end; it goes to the first place that is left, or fails.
func call(d *Drills) (left int) {
	e := &access.Entry{Started: time.Now(), Accepted: 20 * time.Millisecond, Result: access.OK}
	c := d.Begin(e, cart, user)
	all := keep(c, places(cart, user))
	if len(all) == 0 {
		e.Result, e.Accepted = access.NoEndpoint, 0
	} else {
		e.Cluster, e.Locality = all[0].Cluster, all[0].Locality
	}
	if e.Drill != nil {
		e.Drill.Finished(e)
	}
	return len(all)
}

func region(percent float64) Spec {
	return Spec{Kind: RegionLoss, Scope: Scope{Region: "eu"}, Percent: percent, For: time.Minute}
}

func TestScope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec Spec
		left []bool // of places
	}{
		{region(100), []bool{false, false, true}},
		{Spec{Kind: RegionLoss, Scope: Scope{Region: "us"}, Percent: 100, For: time.Minute}, []bool{true, true, false}},
		{Spec{Kind: RegionLoss, Scope: Scope{Region: "eu", Cluster: "west"}, Percent: 100, For: time.Minute}, []bool{true, true, true}},
		{Spec{Kind: ZoneLoss, Scope: Scope{Zone: "a"}, Percent: 100, For: time.Minute}, []bool{false, true, true}}, // a peer has several zones
		{Spec{Kind: ZoneLoss, Scope: Scope{Region: "us", Zone: "a"}, Percent: 100, For: time.Minute}, []bool{true, true, true}},
		{Spec{Kind: ServiceLoss, Scope: Scope{Service: cart.Service, Cluster: "east"}, Percent: 100, For: time.Minute}, []bool{false, false, true}},
		{
			Spec{Kind: ServiceLoss, Scope: Scope{Service: cart.Service, Port: 81, Cluster: "east"}, Percent: 100, For: time.Minute},
			[]bool{true, true, true},
		},
		{
			Spec{Kind: ServiceLoss, Scope: Scope{Service: web, Cluster: "east"}, Percent: 100, For: time.Minute},
			[]bool{true, true, true},
		},
		{Spec{Kind: Latency, Scope: Scope{Region: "eu"}, Percent: 100, Delay: time.Millisecond, For: time.Minute}, []bool{true, true, true}},
	} {
		d, _ := started(t, c.spec)
		left := keep(d.Begin(&access.Entry{}, cart, user), places(cart, user))
		var want []string
		for i, one := range places(cart, user) {
			if c.left[i] {
				want = append(want, one.String())
			}
		}
		var got []string
		for _, one := range left {
			got = append(got, one.String())
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s %s leaves %v, want %v", c.spec.Kind, c.spec.Scope, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for want, spec := range map[string]Spec{
		"name the region":               {Kind: RegionLoss, Scope: Scope{Zone: "a"}, Percent: 1, For: time.Second},
		"and no zone, which is lost by": {Kind: RegionLoss, Scope: Scope{Region: "eu", Zone: "a"}, Percent: 1, For: time.Second},
		"name the zone":                 {Kind: ZoneLoss, Scope: Scope{Region: "eu"}, Percent: 1, For: time.Second},
		"name the service":              {Kind: ServiceLoss, Scope: Scope{Cluster: "east"}, Percent: 1, For: time.Second},
		"name a service, cluster":       {Kind: Latency, Percent: 1, Delay: time.Second, For: time.Second},
		"it is one of":                  {Kind: "fire", Percent: 1, For: time.Second},
		"name the service too":          {Kind: RegionLoss, Scope: Scope{Region: "eu", Port: 80}, Percent: 1, For: time.Second},
		"percent 0: it must be from":    {Kind: RegionLoss, Scope: Scope{Region: "eu"}, For: time.Second},
		"percent 1e-20":                 {Kind: RegionLoss, Scope: Scope{Region: "eu"}, Percent: 1e-20, For: time.Second},
		"a peer of \"east\"":            {Kind: ZoneLoss, Scope: Scope{Zone: "a", Cluster: "west"}, Percent: 1, For: time.Second},
		"percent 101":                   {Kind: RegionLoss, Scope: Scope{Region: "eu"}, Percent: 101, For: time.Second},
		"time 0s":                       {Kind: RegionLoss, Scope: Scope{Region: "eu"}, Percent: 1},
		"time 2h0m0s":                   {Kind: RegionLoss, Scope: Scope{Region: "eu"}, Percent: 1, For: 2 * time.Hour},
		"error budget -1":               {Kind: RegionLoss, Scope: Scope{Region: "eu"}, Percent: 1, For: time.Second, Budget: -1},
		"delay 0s: it must be above":    {Kind: Latency, Scope: Scope{Region: "eu"}, Percent: 1, For: time.Second},
		"only latency delays":           {Kind: RegionLoss, Scope: Scope{Region: "eu"}, Percent: 1, Delay: 1, For: time.Second},
		"65 networks": {
			Kind: RegionLoss, Scope: Scope{Region: "eu"}, Percent: 1, For: time.Second, Callers: make([]netip.Prefix, maxCallers+1),
		},
	} {
		if _, err := New(Config{Cluster: "east"}).Start(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", spec, err, want)
		}
	}
}

// TestEnds: a run ends by each of its bounds, and no call loses anything from then on.
func TestEnds(t *testing.T) {
	t.Parallel()
	for want, bound := range map[string]func(d *Drills, id string){
		EndedByLease:    func(*Drills, string) { bubble.Pass(Lease + 1) },
		EndedByOperator: func(d *Drills, id string) { _, _ = d.Stop(id) },
		EndedByTime: func(d *Drills, id string) {
			for range 20 {
				_, _ = d.Renew(id)
				bubble.Pass(Lease - 1)
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, id := started(t, region(100))
				if left := call(d); left != 1 {
					t.Fatalf("%d places are left during the run, want 1", left)
				}
				before := d.Begin(&access.Entry{}, cart, user)
				bubble.Pass(Lease)
				if _, on := d.Running(); !on {
					t.Fatal("it has ended within the lease")
				}
				bound(d, id)
				if left := call(d); left != 3 {
					t.Errorf("%d places are left after the run, want 3", left)
				}
				if left := keep(before, places(cart, user)); len(left) != 3 {
					t.Errorf("a call that began during the run has %d places left for its next try, want 3", len(left))
				}
				report, err := d.Renew(id)
				if err != nil || report.Ended != want || report.Affected.Total != 1 {
					t.Errorf("ended %q, %d calls, %v; want %q and 1", report.Ended, report.Affected.Total, err, want)
				}
				if _, on := d.Running(); on {
					t.Error("it is still running")
				}
				if _, err := d.Start(region(1)); err != nil {
					t.Errorf("the next run: %v", err)
				}
				if _, err := d.Renew(id); !errors.Is(err, ErrUnknown) {
					t.Errorf("the run before: %v", err)
				}
			})
		})
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	spec := Spec{Kind: ServiceLoss, Scope: Scope{Service: cart.Service, Cluster: "east"}, Percent: 100, For: time.Minute, Budget: 2}
	d, id := started(t, spec)
	d.cfg.Candidates = func(k balance.Key, c balance.Caller) []balance.Candidate { return places(k, c)[:2] }
	fail := func() {
		e := &access.Entry{Started: time.Now(), Result: access.OK, HTTP: &access.HTTP{Status: 503}}
		if d.Begin(e, cart, user) == nil {
			t.Fatal("the run is over")
		}
		e.Drill.Finished(e)
	}
	fail()
	fail()
	if _, on := d.Running(); !on {
		t.Fatal("ended with two failed calls, which the budget allows")
	}
	fail()
	report, err := d.Renew(id)
	if err != nil || report.Ended != EndedByBudget || report.Affected.Failed != 3 || report.Affected.Failures[access.OK] != 3 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	d, id := started(t, region(100))
	if _, err := d.Start(region(100)); !errors.Is(err, ErrRunning) {
		t.Errorf("a second run: %v", err)
	}
	if _, err := d.Renew("other"); !errors.Is(err, ErrUnknown) {
		t.Errorf("another one's lease: %v", err)
	}
	if _, err := d.Stop("other"); !errors.Is(err, ErrUnknown) {
		t.Errorf("another one's end: %v", err)
	}
	if _, err := d.Stop(id); err != nil {
		t.Error(err)
	}
}

// TestSample: the percentage decides which calls are part of the run; the others of the scope are counted beside them.
func TestSample(t *testing.T) {
	t.Parallel()
	d, id := started(t, region(25))
	n := 0
	d.random = func() float64 { n++; return float64(n%100) / 100 }
	for range 400 {
		call(d)
	}
	report, err := d.Stop(id)
	if err != nil || report.Affected.Total != 100 || report.Others.Total != 300 || report.Peak != 1 {
		t.Errorf("%+v, %v; want 100 and 300 calls", report, err)
	}
	if want := (Move{From: "east eu/a", To: "west us/a", Calls: 100}); len(report.Moves) != 1 || report.Moves[0] != want {
		t.Errorf("moved %+v, want %+v", report.Moves, want)
	}
}

// TestUnderWay: the mean of the affected calls that are under way, from which what all of them would be is estimated, and their peak.
func TestUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, id := started(t, region(25))
		d.random = func() float64 { return 0 }
		begin := func() *access.Entry {
			e := &access.Entry{Started: time.Now(), Result: access.OK}
			d.Begin(e, cart, user)
			return e
		}
		a, b := begin(), begin()
		bubble.Pass(time.Second)
		a.Drill.Finished(a)
		b.Drill.Finished(b)
		bubble.Pass(3 * time.Second)
		r, err := d.Stop(id)
		if err != nil || r.Mean != 0.5 || r.Peak != 2 || r.AtFull() != 2 {
			t.Errorf("%v; %+v: want 0.5 under way on average, 2 at most, 2 on average if all were affected", err, r)
		}
	})
}

// TestAfterTheEnd: what began in the run is counted also after its end, as a part of it.
func TestAfterTheEnd(t *testing.T) {
	t.Parallel()
	d, id := started(t, region(100))
	var all []*access.Entry
	for range 3 {
		e := &access.Entry{Started: time.Now(), Result: access.Timeout}
		d.Begin(e, cart, user)
		all = append(all, e)
	}
	for i, e := range all {
		e.Drill.Finished(e)
		r, err := d.Renew(id)
		if err != nil || r.Ended != EndedByBudget || r.Affected.Failed != uint64(i+1) || r.Pending != int64(len(all)-i-1) {
			t.Errorf("%v; %+v: want %d failed", err, r, i+1)
		}
	}
}

// TestPending: until results come in, no more calls are affected than the budget and a constant.
func TestPending(t *testing.T) {
	t.Parallel()
	spec := region(100)
	spec.Budget = 5
	d, id := started(t, spec)
	var all []*access.Entry
	begin := func() (affected bool) {
		e := &access.Entry{Started: time.Now(), Result: access.OK, Accepted: time.Millisecond}
		affected = d.Begin(e, cart, user).Filter() != nil
		all = append(all, e)
		return affected
	}
	for range 1000 {
		begin()
	}
	r, err := d.Renew(id)
	if err != nil || r.Pending != int64(spec.Budget)+maxPending || r.Spared != 1000-uint64(r.Pending) {
		t.Fatalf("%v; %d without a result, %d spared", err, r.Pending, r.Spared)
	}
	if begin() {
		t.Error("one more is affected")
	}
	all[0].Drill.Accepted(all[0])
	if !begin() {
		t.Error("none is affected after a result")
	}
}

// TestAccepted: connections that stay open are calls too, and fail later if they are lost.
func TestAccepted(t *testing.T) {
	t.Parallel()
	spec := region(100)
	spec.Budget = 10
	d, id := started(t, spec)
	counted := 0
	d.cfg.Counted = func(bool) { counted++ }
	var all []*access.Entry
	for range 99 {
		e := &access.Entry{Started: time.Now().Add(-time.Second), Cluster: "west", Locality: us}
		d.Begin(e, cart, user)
		e.AcceptedNow()
		all = append(all, e)
	}
	e := &access.Entry{Started: time.Now(), Result: access.NoEndpoint}
	d.Begin(e, cart, user)
	e.Drill.Finished(e)
	check := func(failed uint64) {
		t.Helper()
		r, err := d.Renew(id)
		if err != nil || r.Affected.Total != 100 || r.Affected.Failed != failed || len(r.Moves) != 2 || r.Moves[0].Calls != 99 ||
			r.Affected.Took.Quantile(0.5) < time.Second || r.Pending != 0 {
			t.Errorf("%v; %+v: want 100 calls, %d failed", err, r, failed)
		}
	}
	check(1)
	all[0].Result, all[1].Result = access.Lost, access.OK
	all[0].Drill.Finished(all[0])
	all[1].Drill.Finished(all[1])
	check(2)
	if counted != 3 {
		t.Errorf("%d calls have ended, want 3", counted)
	}
}

// TestBeside: failures of calls that go where they always go spend no budget, unless what the run took away is what was left.
func TestBeside(t *testing.T) {
	t.Parallel()
	d, id := started(t, Spec{Kind: ZoneLoss, Scope: Scope{Zone: "b"}, Percent: 100, For: time.Minute})
	e := &access.Entry{Started: time.Now(), HTTP: &access.HTTP{Status: 500}, Result: access.OK}
	keep(d.Begin(e, cart, user), places(cart, user))
	e.Drill.Finished(e)
	if r, err := d.Renew(id); err != nil || r.Ended != "" || r.Beside.Failed != 1 || r.Affected.Total != 0 {
		t.Errorf("%v; %+v", err, r)
	}
	e = &access.Entry{Started: time.Now(), Result: access.NoEndpoint}
	keep(d.Begin(e, cart, user), places(cart, user))
	e.Drill.Finished(e)
	if r, err := d.Renew(id); err != nil || r.Ended != EndedByBudget || r.Beside.Failed != 1 || r.Affected.Failed != 1 || r.Pending != 0 {
		t.Errorf("%v; %+v", err, r)
	}
}

// TestJudged: what counts as failed.
func TestJudged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		entry access.Entry
		want  bool
	}{
		{access.Entry{Result: access.OK}, false},
		{access.Entry{Result: access.Reset}, false},
		{access.Entry{Result: access.Lost}, true},
		{access.Entry{Result: access.OK, HTTP: &access.HTTP{Status: 404}}, false},
		{access.Entry{Result: access.OK, HTTP: &access.HTTP{Status: 502}}, true},
		{access.Entry{Result: access.OK, HTTP: &access.HTTP{Status: 200, Judged: 503}}, true},
		{access.Entry{Result: access.OK, HTTP: &access.HTTP{Status: 200, Judged: 429}}, false},
		{access.Entry{Result: access.RateLimited, HTTP: &access.HTTP{Status: 429}}, false},
		{access.Entry{Result: access.ClientReset, HTTP: &access.HTTP{}}, false},
	} {
		if got := hasFailed(&c.entry); got != c.want {
			t.Errorf("%+v: failed %v, want %v", c.entry, got, c.want)
		}
	}
}

// TestNextRun: a call of one run that tries again during the next one loses nothing.
func TestNextRun(t *testing.T) {
	t.Parallel()
	d, id := started(t, region(100))
	c := d.Begin(&access.Entry{}, cart, user)
	if _, err := d.Stop(id); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Start(Spec{Kind: ZoneLoss, Scope: Scope{Zone: "nowhere"}, Percent: 1, For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if n := len(keep(c, places(cart, user))); n != 3 {
		t.Errorf("%d of 3 places", n)
	}
}

// TestWaitEnds: no call waits on when the run is stopped, or its operator is gone.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	for want, stops := range map[time.Duration]bool{2500 * time.Millisecond: true, Lease + leaseCheck: false} {
		synctest.Test(t, func(t *testing.T) {
			d, id := started(t, Spec{Kind: Latency, Scope: Scope{Region: "eu"}, Percent: 100, Delay: MaxDelay, For: time.Minute})
			c, begun := d.Begin(&access.Entry{Started: time.Now()}, cart, user), time.Now()
			if stops {
				defer time.AfterFunc(want, func() { _, _ = d.Stop(id) }).Stop()
			}
			c.Wait(t.Context())
			if took := time.Since(begun); took != want {
				t.Errorf("waited %v, want %v", took, want)
			}
		})
	}
}

// TestNone: without a run, for a call of a peer, or from elsewhere, a call is as it would be without drills.
func TestNone(t *testing.T) {
	t.Parallel()
	spec := region(100)
	spec.Callers = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}
	d, id := started(t, spec)
	from := func(address string, remote bool) *Call {
		return d.Begin(&access.Entry{}, cart, balance.Caller{Address: address, Remote: remote})
	}
	if from("10.1.0.9:1", false) == nil || from("[::ffff:10.1.0.9]:1", false) == nil {
		t.Error("a caller of the network is left out")
	}
	if from("10.1.1.9:1", false) != nil || from("", false) != nil || from("10.1.0.9:1", true) != nil {
		t.Error("a caller of another network, or a peer, is part of the run")
	}
	if _, err := d.Stop(id); err != nil {
		t.Error(err)
	}
	var none *Drills
	for _, d := range []*Drills{d, none} {
		e := &access.Entry{}
		c := d.Begin(e, cart, user)
		c.Wait(t.Context())
		if c != nil || e.Drill != nil || len(keep(c, places(cart, user))) != 3 {
			t.Error("a call is part of no run")
		}
	}
}

// TestLatency: the call waits if it would go into the scope, and loses nothing.
func TestLatency(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]time.Duration{"eu": time.Second, "us": 0} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := started(t, Spec{Kind: Latency, Scope: Scope{Region: at}, Percent: 100, Delay: time.Second, For: time.Minute})
			begun := time.Now()
			d.Begin(&access.Entry{}, cart, user).Wait(t.Context())
			if took := time.Since(begun); took != want {
				t.Errorf("region %s: waited %v, want %v", at, took, want)
			}
		})
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var a, b Histogram
	for i := range 1000 {
		a.add(time.Duration(i+1) * time.Millisecond)
		b.add(time.Hour)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := a.Quantile(q); got < want || got > want+want/10 {
			t.Errorf("quantile %v: %v, want %v and a tenth more at most", q, got, want)
		}
	}
	a.Add(&b)
	a.Add(&Histogram{Counts: make([]uint64, 2*buckets)})
	if len(a.Counts) != buckets || a.Longest != time.Hour || a.Quantile(0.25) > 600*time.Millisecond {
		t.Errorf("%d buckets, longest %v, quarter %v", len(a.Counts), a.Longest, a.Quantile(0.25))
	}
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// TestBoundedMoves: a report has bounded room for places.
func TestBoundedMoves(t *testing.T) {
	t.Parallel()
	var r, all Report
	for i := range 3 * maxMoves {
		r.moved("here", string(rune('A'+i)), 1)
	}
	all.Merge(&r)
	var sum uint64
	for _, m := range all.Moves {
		sum += m.Calls
	}
	if len(all.Moves) > maxMoves+1 || sum != 3*maxMoves || all.Moves[0].To != otherPlaces {
		t.Errorf("%d places, %d calls, first %+v", len(all.Moves), sum, all.Moves[0])
	}
}
