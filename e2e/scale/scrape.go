package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// sample is one series of a process's metrics.
type sample struct {
	name, labels string
	value        float64
}

type samples []sample

// parseMetrics reads the samples of these names from Prometheus' text format.
func parseMetrics(in io.Reader, names ...string) (samples, error) {
	wanted := make(map[string]bool, len(names))
	for _, n := range names {
		wanted[n] = true
	}
	var out samples
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		series, value, ok := cutLast(line, ' ')
		if !ok || line[0] == '#' {
			continue
		}
		name, labels, _ := strings.Cut(series, "{")
		if !wanted[name] {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		out = append(out, sample{name, strings.TrimSuffix(labels, "}"), v})
	}
	return out, lines.Err()
}

func cutLast(s string, by byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, by)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// sum of the series of that name that have all these labels, each as in `verb="apply"`.
func (s samples) sum(name string, labels ...string) float64 {
	total := 0.0
	for i := range s {
		if s[i].name == name && hasAll(s[i].labels, labels) {
			total += s[i].value
		}
	}
	return total
}

func hasAll(labels string, wanted []string) bool {
	for _, w := range wanted {
		if !strings.Contains(","+labels+",", ","+w+",") {
			return false
		}
	}
	return true
}

// label is the value of a label of the sample; "" if it has none of that name.
func (s *sample) label(name string) string {
	_, rest, ok := strings.Cut(","+s.labels, ","+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
