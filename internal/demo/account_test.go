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

var update = flag.Bool("update", false, "write the golden files again")

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
	killed := outage{
		process: "cn-hangzhou-k-proxy-1", zone: "cn-hangzhou-k", cluster: homeCluster, role: roleProxy1,
		kind: outKilled, from: at(1000), to: at(5000),
	}
	app := outage{
		process: "ap-northeast-1a-mockb", zone: "ap-northeast-1a", cluster: foreignCluster, role: roleMockb,
		kind: outKilled, from: at(1000),
	}
	silent := outage{
		process: "ap-northeast-1a-proxy-1", zone: "ap-northeast-1a", cluster: foreignCluster, role: roleProxy1,
		kind: outStopped, from: at(1000), to: at(9000),
	}
	broken := app
	broken.kind = outBroken
	noticed := func(o outage, ms int) outage {
		o.noticed = at(ms)
		return o
	}
	by1a, by1b := []string{"ap-northeast-1a-mockb"}, []string{"ap-northeast-1b-mockb"}
	other := "cn-hangzhou-k-proxy-2"
	for name, tc := range map[string]struct {
		outage   outage
		rec      record
		executed []string
		via      string
		want     string // part of the excuse, "" for none
	}{
		"proxy killed, in flight":           {killed, failed("cn-hangzhou-k", 900, 1001), nil, killed.process, "through cn-hangzhou-k-proxy-1"},
		"led to it before that was noticed": {killed, failed("cn-hangzhou-k", 1300, 1301), nil, killed.process, "through cn-hangzhou-k-proxy-1"},
		"led to it later":                   {killed, failed("cn-hangzhou-k", 1301, 1302), nil, killed.process, ""},
		"noticed late":                      {noticed(killed, 1700), failed("cn-hangzhou-k", 1700, 1702), nil, killed.process, "through"},
		"after it was noticed late":         {noticed(killed, 1700), failed("cn-hangzhou-k", 1701, 1702), nil, killed.process, ""},
		"noticed too late":                  {noticed(killed, 3000), failed("cn-hangzhou-k", 2001, 2002), nil, killed.process, ""},
		"failed on another proxy":           {killed, failed("cn-hangzhou-k", 900, 1001), nil, other, ""},
		"failed on no proxy":                {killed, failed("cn-hangzhou-k", 900, 1001), nil, "", ""},
		"ended before the kill":             {killed, failed("cn-hangzhou-k", 900, 999), nil, killed.process, ""},
		"executed by what was killed":       {app, failed("cn-hangzhou-h", 900, 1100), by1a, "", "being executed by"},
		"executed by another":               {app, failed("cn-hangzhou-h", 900, 1100), by1b, "", ""},
		"executed before, began after":      {app, failed("cn-hangzhou-h", 1100, 1200), by1a, "", ""},
		"an application does not listen":    {broken, failed("cn-hangzhou-h", 900, 1100), by1a, "", ""},
		"silent peer, in flight":            {silent, crossing(failed("cn-hangzhou-h", 500, 7000)), nil, "", "went silent"},
		"silent peer, within the grace":     {silent, crossing(failed("cn-hangzhou-h", 2500, 7000)), nil, "", "went silent"},
		"silent peer, after the grace":      {silent, crossing(failed("cn-hangzhou-h", 2501, 7000)), nil, "", ""},
		"silence noticed late":              {noticed(silent, 3000), crossing(failed("cn-hangzhou-h", 3000, 7000)), nil, "", "went silent"},
		"after it was noticed":              {noticed(silent, 3000), crossing(failed("cn-hangzhou-h", 3001, 7000)), nil, "", ""},
		"silence noticed too late":          {noticed(silent, 6000), crossing(failed("cn-hangzhou-h", 4001, 7000)), nil, "", ""},
		"silent peer, not crossing":         {silent, failed("cn-hangzhou-h", 1100, 7000), nil, "", ""},
		"silent peer, ended before":         {silent, crossing(failed("cn-hangzhou-h", 500, 1000)), nil, "", ""},
		"own proxies stopped, in flight":    {silent, failed("ap-northeast-1b", 900, 20_000), nil, "", "proxy of ap-northeast-1"},
		"own proxies stopped, after":        {silent, failed("ap-northeast-1b", 2501, 20_000), nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := new(ledger)
			l.out(tc.outage)
			got := l.excuse(&tc.rec, newTopology(firstBase).clusterOf(tc.rec.entry), tc.executed, tc.via)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLedgerBack(t *testing.T) {
	t.Parallel()
	l := new(ledger)
	l.out(outage{process: "p", zone: "cn-hangzhou-h", role: roleMockb, kind: outBroken, from: at(1)})
	l.back(at(5), "q", "p")
	l.out(outage{process: "p", zone: "cn-hangzhou-h", role: roleMockb, kind: outKilled, from: at(10)})
	l.out(outage{process: "p", zone: "cn-hangzhou-h", role: roleMocka, kind: outStopped, from: at(1)})
	for ms, want := range map[int]bool{0: true, 1: false, 4: false, 5: true, 9: true, 11: false} {
		if got := l.listening("cn-hangzhou-h", roleMockb, at(ms)); got != want {
			t.Errorf("listens at %d: %v", ms, got)
		}
	}
	if !l.listening("cn-hangzhou-h", roleMocka, at(4)) || !l.listening("cn-hangzhou-k", roleMockb, at(4)) {
		t.Error("what was stopped takes connections, and so does another zone")
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
	l.out(outage{
		process: "cn-hangzhou-k-proxy-1", zone: "cn-hangzhou-k", cluster: homeCluster, role: roleProxy1, kind: outKilled, from: at(3000),
	})
	l.out(outage{
		process: "ap-northeast-1a-proxy-1", zone: "ap-northeast-1a", cluster: foreignCluster, role: roleProxy1, kind: outStopped, from: at(3000),
	})
	l.out(outage{process: "b", zone: "cn-hangzhou-h", role: roleMockb, kind: outBroken, from: at(2000)})
	lost := failed("cn-hangzhou-h", 2500, 2600)
	lost.id, lost.method, lost.phase = "lost", "POST", 1
	lost.failure = "call http://mocka/ at 127.80.1.21:8000 from 127.80.1.10:5000: " +
		"status 502: mocka(cn-hangzhou-h): call http://mockb/ at 127.80.1.22:8000 from 127.80.1.11:4000: EOF"
	dead := failed("cn-hangzhou-k", 2999, 3001)
	dead.phase = 2
	dead.failure = "call http://mocka/ at 127.80.2.21:8000 from 127.80.2.10:5000: EOF"
	return evidence{
		topo: newTopology(firstBase), ledger: l,
		phases: []phase{
			{name: "healthy", begun: at(1000)},
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
			answered("6", 2, "ap-northeast-1b", "ap-northeast-1b", 2990, 9000), // in flight when the proxies of its cluster were stopped
			answered("7", 2, "cn-hangzhou-h", "cn-hangzhou-h", 3500, 3505),
			dead,
		},
		executions: executions{
			"4": {
				{roleMocka, "cn-hangzhou-h-mocka", "POST"}, {roleMockb, "cn-hangzhou-k-mockb", "POST"}, {roleMockb, "ap-northeast-1b-mockb", "POST"},
			},
			"5": {{roleMocka, "cn-hangzhou-h-mocka", "GET"}, {roleMockb, "cn-hangzhou-k-mockb", "GET"}},
			"7": {{roleMockb, "cn-hangzhou-h-mockb", "GET"}, {roleMockb, "cn-hangzhou-k-mockb", "GET"}},
		},
		calls: []loggedCall{
			{begun: at(999), service: roleMockb, from: "cn-hangzhou-h", to: "cn-hangzhou-k", answered: true, failures: 1}, // while it was made
			{begun: at(1000), service: roleMockb, from: "cn-hangzhou-h", to: "cn-hangzhou-h", answered: true},
			{begun: at(1999), service: roleMockb, from: "cn-hangzhou-h", to: "cn-hangzhou-k", answered: true}, // by chance
			{begun: at(2000), service: roleMockb, from: "cn-hangzhou-h", to: "cn-hangzhou-k", answered: true},
			{begun: at(2001), service: roleMockb, from: "cn-hangzhou-h", to: "ap-northeast-1a", answered: true, failures: 2},
			{begun: at(2002), service: roleMockb, from: "cn-hangzhou-h", to: "ap-northeast-1a", failures: 1}, // not answered after all
			{begun: at(2003), service: roleMockc, from: "cn-hangzhou-h", to: "cn-hangzhou-k", answered: true},
			{begun: at(2004), service: roleMockb, from: "cn-hangzhou-h", to: "ap-northeast-1b", answered: true},
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
				MockbAnsweredBy: map[string]int{"cn-hangzhou-h": 1}, AllCalls: 4,
				FirstElsewhere: &home, Returns: true,
			},
		},
		Total: Totals{Sent: 9, Failed: 2, Expected: 1, ExecutedTwice: 1},
		Unexpected: []Failure{{
			ID: "lost", Method: "POST", Entry: "cn-hangzhou-h", Phase: "broken", Began: 1500, Took: 100,
			Error: "call http://mocka/ at 127.80.1.21:8000 from 127.80.1.10:5000: " +
				"status 502: mocka(cn-hangzhou-h): call http://mockb/ at 127.80.1.22:8000 from 127.80.1.11:4000: EOF",
			AccessLog: []string{},
		}},
		ExecutedTwice: []Execution{{ID: "4", Service: roleMockb, By: []string{"cn-hangzhou-k-mockb", "ap-northeast-1b-mockb"}}},
		Repeated:      []Execution{{ID: "7", Service: roleMockb, By: []string{"cn-hangzhou-h-mockb", "cn-hangzhou-k-mockb"}}},
		Missed:        []string{`phase "killed": something`},
		Saved:         Saved{Calls: 7, AfterFailure: 1, Elsewhere: 2},
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
			e.executions = executions{"curl-1": {{roleMockc, "a", "POST"}, {roleMockc, "a", "GET"}}}
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
	r.Unexpected[0].AccessLog = []string{`cn-hangzhou-h-proxy-1: {"caller":"127.80.1.11:4000"}`}
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
		t.Errorf("differs from %s (write it again with -update):\n%s", path, got)
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
		"cn-hangzhou-h-mockc": "a GET\na GET\n",
	} {
		if err := os.WriteFile(l.executions(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x, err := readExecutions(l, topo)
	if err != nil {
		t.Fatal(err)
	}
	twice, repeated := x.again()
	want := []Execution{{ID: "b", Service: roleMockb, By: []string{"cn-hangzhou-h-mockb", "cn-hangzhou-k-mockb"}}}
	if !reflect.DeepEqual(twice, want) {
		t.Errorf("twice: %+v", twice)
	}
	want = []Execution{{ID: "a", Service: roleMockc, By: []string{"cn-hangzhou-h-mockc", "cn-hangzhou-h-mockc"}}}
	if !reflect.DeepEqual(repeated, want) {
		t.Errorf("repeated: %+v", repeated)
	}
}

func TestQuoteAccessLogs(t *testing.T) {
	t.Parallel()
	topo := newTopology(firstBase)
	l, _, err := makeLayout(filepath.Join(t.TempDir(), "w"), topo)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range proxies(topo.zones()...) {
		if err := os.WriteFile(l.access(p.zone, p.role), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := `{"caller":"127.80.1.11:40001"}` + "\n" + `{"caller":"127.80.1.11:4000","end":"reset"}` + "\n"
	if err := os.WriteFile(l.access(topo.zones()[0], roleProxy2), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	failures := []Failure{
		{Error: "call http://127.80.1.22:8000 from 127.80.1.11:4000: EOF"},
		{Error: "call http://127.80.1.22:8000 from -: refused"},
	}
	if err := quoteAccessLogs(l, topo, failures); err != nil {
		t.Fatal(err)
	}
	want := []string{`cn-hangzhou-h-proxy-2: {"caller":"127.80.1.11:4000","end":"reset"}`}
	if !reflect.DeepEqual(failures[0].AccessLog, want) || len(failures[1].AccessLog) != 0 {
		t.Errorf("got %q and %q", failures[0].AccessLog, failures[1].AccessLog)
	}
}

// The lines are as a proxy writes them.
func TestReadCalls(t *testing.T) {
	t.Parallel()
	topo := newTopology(firstBase)
	l, _, err := makeLayout(filepath.Join(t.TempDir(), "w"), topo)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range proxies(topo.zones()...) {
		if err := os.WriteFile(l.access(p.zone, p.role), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := `{"time":"2023-11-14T22:13:21.5Z","direction":"outbound","service":"default/mockb","caller_locality":"r/h","locality":"r/k",` +
		`"duration":0.5,"attempts":[{"result":"refused"},{"result":"abandoned"},{"result":"accepted"}],"result":"ok"}` + "\n" +
		`{"time":"2023-11-14T22:13:22Z","direction":"outbound","service":"default/mocka","caller_locality":"r/h","locality":"-/-",` +
		`"duration":1,"attempts":[{"result":"timeout"}],"result":"no_endpoint"}` + "\n" +
		`{"time":"2023-11-14T22:13:22Z","direction":"inbound","service":"default/mocka","result":"ok"}` + "\n" +
		`{"time":"2023-11-14T22:13:22Z","direction":"outb`
	if err := os.WriteFile(l.access(topo.zones()[1], roleProxy1), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readCalls(l, topo)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].begun = got[i].begun.Local()
	}
	want := []loggedCall{
		{begun: at(1000), service: roleMockb, from: "h", to: "k", answered: true, failures: 1},
		{begun: at(1000), service: roleMocka, from: "h", to: "-", failures: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
