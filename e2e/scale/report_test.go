package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	with := func(services int, value float64, work bool) *report {
		return &report{Services: services, Figures: []figure{{Name: "writes", Value: value, Work: work}}}
	}
	small := with(1000, 100, true)
	for name, tt := range map[string]struct {
		is     *report
		before *report
		says   string
	}{
		"nothing to compare with":  {with(10_000, 1e9, true), nil, ""},
		"linear":                   {with(10_000, 1000, true), small, ""},
		"a little more":            {with(10_000, 1499, true), small, ""},
		"quadratic":                {with(10_000, 10_000, true), small, "writes has grown from 100"},
		"time may grow as it will": {with(10_000, 10_000, false), small, ""},
		"new figure":               {&report{Services: 10_000, Figures: []figure{{Name: "new", Value: 1e9, Work: true}}}, small, ""},
		"a handful":                {with(10_000, 99, true), with(1000, 1, true), ""},
		"from nothing":             {with(10_000, 100, true), with(1000, 0, true), "writes has grown from 0"},
		"bounded": {
			&report{Services: 1000, Figures: []figure{{Name: "idle", Value: 21, AtMost: 20}}}, nil, "idle is 21 , at most 20",
		},
	} {
		err := tt.is.judge(tt.before)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	small := report{Services: 1000}
	small.time("start", 1500*time.Millisecond)
	small.work("writes", 5000, times)
	small.memory("heap", 12<<20)
	path := filepath.Join(t.TempDir(), "small.json")
	if err := small.write(path); err != nil {
		t.Fatal(err)
	}
	before, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	large := report{Services: 10_000}
	large.time("start", 3*time.Second)
	large.work("writes", 50_000, times)
	large.latencies("delta", []time.Duration{3 * time.Millisecond, time.Millisecond, 2 * time.Millisecond})
	var out strings.Builder
	large.print(&out, &before)
	rows := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{"services 1000 10000 ratio", "start 1.50 s 3.0 s 2.0", "writes * 5000 50000 10.0", "delta p50 2.0 ms", "delta p99 3.0 ms"}
	for i, w := range want {
		if got := strings.Join(strings.Fields(rows[i]), " "); got != w {
			t.Errorf("row %d is %q, want %q", i, got, w)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, tt := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{{nil, 0.5, 0}, {hundred[:1], 0.99, 1}, {hundred, 0.5, 51}, {hundred, 0.99, 100}} {
		if got := quantile(tt.of, tt.q); got != tt.want {
			t.Errorf("%v of %d: %d, want %d", tt.q, len(tt.of), got, tt.want)
		}
	}
}
