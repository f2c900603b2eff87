package main

import (
	"strings"
	"testing"
)

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	s, err := parseMetrics(strings.NewReader(`# HELP writes_total Writes.
# TYPE writes_total counter
writes_total{kind="Service",verb="apply"} 12
writes_total{kind="Service",verb="delete"} 1e+01
writes_total{kind="Peer",verb="apply"} 3
other_total 7
cpu_seconds 0.5
`), "writes_total", "cpu_seconds")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"writes_total", nil, 25},
		{"writes_total", []string{`kind="Service"`}, 22},
		{"writes_total", []string{`verb="apply"`, `kind="Service"`}, 12},
		{"writes_total", []string{`kind="Serv`}, 0},
		{"cpu_seconds", nil, 0.5},
		{"other_total", nil, 0},
	} {
		if got := s.sum(tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s%v is %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
	if got := s[0].label("verb"); got != "apply" {
		t.Errorf("verb is %q", got)
	}
	if got := s[0].label("erb"); got != "" {
		t.Errorf("erb is %q", got)
	}
	if _, err := parseMetrics(strings.NewReader("writes_total x\n"), "writes_total"); err == nil {
		t.Error("x is no number")
	}
}
