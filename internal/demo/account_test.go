package demo

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// at is a moment, in milliseconds after some beginning.
func at(ms int) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(ms) * time.Millisecond)
}

func failed(entry string, from, to int) record {
	return record{id: "x", entry: entry, start: at(from), end: at(to), failure: "status 502"}
}

func crossing(r record) record {
	r.crossing = true
	return r
}

func TestExcuse(t *testing.T) {
	t.Parallel()
	proxyOfK := outage{
		process: "cn-hangzhou-k-proxy", zone: "cn-hangzhou-k", cluster: homeCluster, role: roleProxy,
		kind: outKilled, from: at(1000), to: at(2000),
	}
	mockaOf1a := outage{
		process: "ap-northeast-1a-mocka", zone: "ap-northeast-1a", cluster: foreignCluster, role: roleMocka,
		kind: outKilled, from: at(1000),
	}
	mockbOf1a := mockaOf1a
	mockbOf1a.process, mockbOf1a.role = "ap-northeast-1a-mockb", roleMockb
	silent := outage{
		process: "ap-northeast-1a-proxy", zone: "ap-northeast-1a", cluster: foreignCluster, role: roleProxy,
		kind: outStopped, from: at(1000), to: at(9000),
	}
	late, tooLate := silent, silent // noticed
	late.noticed, tooLate.noticed = at(3000), at(6000)
	by1a, by1b := []string{"ap-northeast-1a-mockb"}, []string{"ap-northeast-1b-mockb"}
	for name, tc := range map[string]struct {
		outage   outage
		rec      record
		executed []string
		want     string // part of the excuse, "" for none
	}{
		"own proxy killed, in flight":        {proxyOfK, failed("cn-hangzhou-k", 900, 1001), nil, "entered at cn-hangzhou-k"},
		"own proxy killed, began while down": {proxyOfK, failed("cn-hangzhou-k", 1999, 2500), nil, "proxy was killed"},
		"own proxy killed, ended before":     {proxyOfK, failed("cn-hangzhou-k", 900, 999), nil, ""},
		"own proxy back":                     {proxyOfK, failed("cn-hangzhou-k", 2000, 2010), nil, ""},
		"another zone's proxy killed":        {proxyOfK, failed("cn-hangzhou-h", 1100, 1200), nil, ""},
		"mocka still down":                   {mockaOf1a, failed("ap-northeast-1a", 99_000, 99_001), nil, "mocka was killed"},
		"own mockb down: others can answer":  {mockbOf1a, failed("ap-northeast-1a", 1100, 1200), nil, ""},
		"executed by what was killed":        {mockbOf1a, failed("cn-hangzhou-h", 900, 1100), by1a, "being executed by"},
		"executed by another":                {mockbOf1a, failed("cn-hangzhou-h", 900, 1100), by1b, ""},
		"executed before, began after":       {mockbOf1a, failed("cn-hangzhou-h", 1100, 1200), by1a, ""},
		"silent peer, in flight":             {silent, crossing(failed("cn-hangzhou-h", 500, 7000)), nil, "went silent"},
		"silent peer, within the grace":      {silent, crossing(failed("cn-hangzhou-h", 2500, 7000)), nil, "went silent"},
		"silent peer, after the grace":       {silent, crossing(failed("cn-hangzhou-h", 2501, 7000)), nil, ""},
		"noticed late":                       {late, crossing(failed("cn-hangzhou-h", 3000, 7000)), nil, "went silent"},
		"after it was noticed late":          {late, crossing(failed("cn-hangzhou-h", 3001, 7000)), nil, ""},
		"noticed too late":                   {tooLate, crossing(failed("cn-hangzhou-h", 4000, 7000)), nil, "went silent"},
		"after what is too late":             {tooLate, crossing(failed("cn-hangzhou-h", 4001, 7000)), nil, ""},
		"silent peer, not crossing":          {silent, failed("cn-hangzhou-h", 1100, 7000), nil, ""},
		"silent peer, ended before":          {silent, crossing(failed("cn-hangzhou-h", 500, 1000)), nil, ""},
		"own proxy stopped":                  {silent, failed("ap-northeast-1a", 5000, 20_000), nil, "proxy was stopped"},
		"own cluster's other proxy stopped":  {silent, crossing(failed("ap-northeast-1b", 1100, 1200)), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := new(ledger)
			l.out(tc.outage)
			got := l.excuse(&tc.rec, newTopology(firstBase).clusterOf(tc.rec.entry), tc.executed)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLedgerBack(t *testing.T) {
	t.Parallel()
	l := new(ledger)
	l.out(outage{process: "p", zone: "cn-hangzhou-h", role: roleProxy, kind: outKilled, from: at(1)})
	l.back(at(5), "q", "p")
	l.out(outage{process: "p", zone: "cn-hangzhou-h", role: roleProxy, kind: outKilled, from: at(10)})
	for began, want := range map[int]bool{4: true, 5: false, 11: true} {
		r := failed("cn-hangzhou-h", began, began+1)
		if got := l.atEntry(&r) != ""; got != want {
			t.Errorf("began at %d: %v", began, got)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := 1; i <= 100; i++ {
		hundred = append(hundred, time.Duration(i)*time.Millisecond)
	}
	for _, tc := range []struct {
		of   []time.Duration
		q    float64
		want float64
	}{
		{nil, 0.5, 0},
		{hundred[:1], 0.5, 1},
		{hundred[:1], 0.99, 1},
		{hundred[:2], 0.5, 1},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred[:10], 0.99, 10},
	} {
		if got := quantile(tc.of, tc.q); got != tc.want {
			t.Errorf("quantile %v of %d: got %v, want %v", tc.q, len(tc.of), got, tc.want)
		}
	}
}

// answered is a chain that entered in one zone, with mockb (and what follows) in another.
func answered(id string, phase int, entry, mockb string, from, to int) record {
	return record{id: id, method: "GET", entry: entry, phase: phase, start: at(from), end: at(to), hops: []hop{
		{service: roleMocka, zone: entry}, {service: roleMockb, zone: mockb}, {service: roleMockc, zone: mockb},
	}}
}

func testEvidence() evidence {
	l := new(ledger)
	l.out(outage{process: "cn-hangzhou-k-proxy", zone: "cn-hangzhou-k", role: roleProxy, kind: outKilled, from: at(3000)})
	lost := failed("cn-hangzhou-h", 2500, 2600)
	lost.id, lost.method, lost.phase = "lost", "POST", 1
	lost.failure = "status 502: mocka(cn-hangzhou-h): call http://127.80.1.22:8000 from 127.80.1.11:4000: EOF"
	dead := failed("cn-hangzhou-k", 3100, 3101)
	dead.phase = 2
	return evidence{
		topo: newTopology(firstBase), ledger: l,
		phases: []phase{
			{name: "healthy"},
			{name: "broken", fault: at(2000), effect: func(r *record) bool { return answeredOutside(r, r.entry) }},
			{name: "killed", fault: at(2000), home: true, effect: func(r *record) bool { return r.home() }},
		},
		records: []record{
			answered("1", 0, "cn-hangzhou-h", "cn-hangzhou-h", 1000, 1004),
			answered("2", 0, "ap-northeast-1a", "ap-northeast-1a", 1000, 1010),
			answered("3", 0, "cn-hangzhou-k", "ap-northeast-1a", 1900, 1999), // before the fault
			answered("4", 1, "cn-hangzhou-h", "ap-northeast-1b", 2000, 2030),
			answered("5", 1, "cn-hangzhou-h", "cn-hangzhou-k", 2010, 2020),
			lost,
			answered("6", 2, "cn-hangzhou-k", "cn-hangzhou-k", 2990, 9000), // in flight when its proxy was killed
			answered("7", 2, "cn-hangzhou-h", "cn-hangzhou-h", 3500, 3505),
			dead,
		},
		executions: executions{
			"4": {{roleMocka, "cn-hangzhou-h-mocka"}, {roleMockb, "cn-hangzhou-k-mockb"}, {roleMockb, "ap-northeast-1b-mockb"}},
			"5": {{roleMocka, "cn-hangzhou-h-mocka"}, {roleMockb, "cn-hangzhou-k-mockb"}},
		},
		missed: []string{`phase "killed": something`},
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	ten, home := 20.0, 1505.0
	want := Report{
		Phases: []PhaseReport{
			{
				Name: "healthy", Totals: Totals{Sent: 3}, P50: 10, P99: 99, Max: 99,
				MockbAnsweredBy: map[string]int{"cn-hangzhou-h": 1, "ap-northeast-1a": 1}, CrossedCalls: 1, AllCalls: 6,
			},
			{
				Name: "broken", Totals: Totals{Sent: 3, Failed: 1, ExecutedTwice: 1}, P50: 10, P99: 30, Max: 30,
				MockbAnsweredBy: map[string]int{"cn-hangzhou-k": 1, "ap-northeast-1b": 1}, CrossedCalls: 1, AllCalls: 4,
				FirstElsewhere: &ten,
			},
			{
				Name: "killed", Totals: Totals{Sent: 3, Failed: 1, Expected: 1}, P50: 5, P99: 5, Max: 5,
				MockbAnsweredBy: map[string]int{"cn-hangzhou-h": 1, "cn-hangzhou-k": 1}, AllCalls: 4,
				FirstElsewhere: &home, Returns: true,
			},
		},
		Total: Totals{Sent: 9, Failed: 2, Expected: 1, ExecutedTwice: 1},
		Unexpected: []Failure{{
			ID: "lost", Method: "POST", Entry: "cn-hangzhou-h", Phase: "broken", Began: 1500, Took: 100,
			Error:     "status 502: mocka(cn-hangzhou-h): call http://127.80.1.22:8000 from 127.80.1.11:4000: EOF",
			AccessLog: []string{},
		}},
		ExecutedTwice: []Execution{{ID: "4", Service: roleMockb, By: []string{"cn-hangzhou-k-mockb", "ap-northeast-1b-mockb"}}},
		Missed:        []string{`phase "killed": something`},
	}
	if got := testEvidence().report(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	good := testEvidence()
	good.executions, good.missed = nil, nil
	good.records = good.records[:5]
	if r := good.report(); !r.OK || r.err() != nil {
		t.Errorf("a good run is not OK: %+v", r)
	}
	for name, spoil := range map[string]func(*evidence){
		"failure": func(e *evidence) { e.records = testEvidence().records },
		"twice":   func(e *evidence) { e.executions = testEvidence().executions },
		"missed":  func(e *evidence) { e.missed = testEvidence().missed },
		"twice, not of the load": func(e *evidence) {
			e.executions = executions{"curl-1": {{roleMockc, "a"}, {roleMockc, "a"}}}
		},
	} {
		e := good
		spoil(&e)
		if r := e.report(); r.OK || r.err() == nil {
			t.Errorf("%s: passes as OK", name)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	r := testEvidence().report()
	r.Unexpected[0].AccessLog = []string{`cn-hangzhou-h: {"caller":"127.80.1.11:4000"}`}
	golden(t, "table.golden", r.print(newTopology(firstBase)))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (write it anew with -update):\n%s", path, got)
	}
}

func TestReadExecutions(t *testing.T) {
	t.Parallel()
	topo := newTopology(firstBase)
	l, remove, err := makeLayout(filepath.Join(t.TempDir(), "w"), topo)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := remove(); err != nil {
			t.Error(err)
		}
	}()
	for name, text := range map[string]string{
		"cn-hangzhou-h-mockb": "a GET\nb POST\ncut", // the last line was never finished
		"cn-hangzhou-k-mockb": "b POST\n",
		"cn-hangzhou-h-mockc": "a GET\n",
	} {
		if err := os.WriteFile(l.executions(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x, err := readExecutions(l, topo)
	if err != nil {
		t.Fatal(err)
	}
	want := []Execution{{ID: "b", Service: roleMockb, By: []string{"cn-hangzhou-h-mockb", "cn-hangzhou-k-mockb"}}}
	if got := x.twice(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestQuoteAccessLogs(t *testing.T) {
	t.Parallel()
	topo := newTopology(firstBase)
	l, _, err := makeLayout(filepath.Join(t.TempDir(), "w"), topo)
	if err != nil {
		t.Fatal(err)
	}
	for _, z := range topo.zones() {
		if err := os.WriteFile(l.access(z), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := `{"caller":"127.80.1.11:40001"}` + "\n" + `{"caller":"127.80.1.11:4000","end":"reset"}` + "\n"
	if err := os.WriteFile(l.access(topo.zones()[0]), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	failures := []Failure{
		{Error: "call http://127.80.1.22:8000 from 127.80.1.11:4000: EOF"},
		{Error: "call http://127.80.1.22:8000 from -: refused"},
	}
	if err := quoteAccessLogs(l, topo, failures); err != nil {
		t.Fatal(err)
	}
	want := []string{`cn-hangzhou-h: {"caller":"127.80.1.11:4000","end":"reset"}`}
	if !reflect.DeepEqual(failures[0].AccessLog, want) || len(failures[1].AccessLog) != 0 {
		t.Errorf("got %q and %q", failures[0].AccessLog, failures[1].AccessLog)
	}
}
