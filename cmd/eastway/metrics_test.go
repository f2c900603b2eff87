package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/failover/access"
)

// described is a registry that keeps the descriptions of what is registered: vectors without a series do not show otherwise.
type described struct {
	*prometheus.Registry

	mu       sync.Mutex
	families map[string]family
}

// family is a row of the table in docs/metrics.md; labels are as they stand there.
type family struct{ kind, labels, help string }

// descFields are those of a Desc, which tells them by its String only.
var descFields = regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: "(.*?)", (?:unit: ".*?", )?constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

func (d *described) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	d.mu.Lock()
	for desc := range descs {
		m := descFields.FindStringSubmatch(desc.String())
		if m == nil {
			panic("cannot read " + desc.String())
		}
		if strings.HasPrefix(m[1], "eastway_") {
			d.families[m[1]] = family{kindOf(c, m[1]), strings.ReplaceAll(m[3], ",", ", "), m[2]}
		}
	}
	d.mu.Unlock()
	return d.Registry.Register(c)
}

func (d *described) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

func kindOf(c prometheus.Collector, name string) string {
	switch c.(type) {
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case *prometheus.GaugeVec, prometheus.Gauge: // before Counter, whose methods a Gauge has too
		return "gauge"
	case *prometheus.CounterVec, prometheus.Counter:
		return "counter"
	}
	if strings.HasSuffix(name, "_total") { // states that are collected when they are read, as the next ones
		return "counter"
	}
	return "gauge"
}

// proxyFamilies are the metrics of a proxy.
func proxyFamilies(t *testing.T, into map[string]family, o proxyOptions) {
	t.Helper()
	reg := &described{Registry: prometheus.NewRegistry(), families: into}
	p := &proxy{log: zap.NewNop(), started: time.Now(), o: o}
	if _, err := access.Open(o.accessFile(nil, p.log, reg)); err != nil {
		t.Fatal(err)
	}
	if err := p.build(t.Context(), reg, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if err := p.release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// nowhere is a kubeconfig of an API server that does not answer.
func nowhere(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	const config = `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c}}],
		clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]}`
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The table of metrics and the program agree: nothing is missing, in either.
func TestMetricsTable(t *testing.T) {
	t.Parallel()
	families := map[string]family{}
	s := newSite(t, "aa")
	o := proxyOptions{
		cluster: "aa", region: "r", config: s.config, ca: s.ca, listen: s.tunnel(), admin: s.admin(), transports: []string{"tcp", "quic"},
	}
	proxyFamilies(t, families, o)
	o.config, o.kubernetes, o.kubeconfig, o.namespace, o.state = "", true, nowhere(t), "eastway-system", t.TempDir()
	o.agents = "127.0.0.1:0"
	proxyFamilies(t, families, o)
	const table = "../../docs/metrics.md"
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ = bytes.Cut(text, []byte("\n## ")) // what follows is of other processes
	row := regexp.MustCompile("(?m)^\\| `(eastway_[a-z0-9_]+)` \\| ([a-z]+) \\| (.*?) \\| (.+) \\|$")
	documented := map[string]family{}
	var order []string
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = family{m[2], strings.ReplaceAll(m[3], "`", ""), m[4]}
		order = append(order, m[1])
	}
	if !slices.IsSorted(order) {
		t.Errorf("%s is not in the order of names", table)
	}
	for name, f := range families {
		if f.help == "" {
			t.Errorf("%s has no help text", name)
		}
		d, ok := documented[name]
		if !ok {
			t.Errorf("%s is not in the table; add: | %#q | %s | %s | %s |", name, name, f.kind, f.labels, f.help)
			continue
		}
		if !strings.HasPrefix(d.help, f.help) {
			t.Errorf("%s: its help is %q, %s begins otherwise: %q", name, f.help, table, d.help)
		}
		if d.kind != f.kind || d.labels != f.labels {
			t.Errorf("%s is a %s with labels %q, %s says a %s with labels %q", name, f.kind, f.labels, table, d.kind, d.labels)
		}
	}
	for _, reason := range certs.Reasons() {
		if !strings.Contains(documented["eastway_tunnel_handshakes_refused_total"].help, reason) {
			t.Errorf("%s does not name the reason %s", table, reason)
		}
	}
	for _, name := range order {
		if _, ok := families[name]; !ok {
			t.Errorf("%s is in %s, but no proxy has it", name, table)
		}
	}
}
