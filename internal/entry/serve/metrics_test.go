package serve

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// The table in docs/metrics.md has the metrics of the server, in the order of their names.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, order := map[string]string{}, []string{}
	rows := regexp.MustCompile("(?m)^\\| `(eastway_entry_[a-z_]+)` \\| (?:counter|gauge|histogram) \\| .*? \\| (.+) \\|$")
	for _, m := range rows.FindAllStringSubmatch(string(text), -1) {
		order = append(order, m[1])
		if !strings.HasPrefix(m[1], "eastway_entry_status_") { // those of package status
			documented[m[1]] = m[2]
		}
	}
	if !slices.IsSorted(order) {
		t.Error("the table is not in the order of names")
	}
	m := newMetrics(prometheus.NewRegistry(), func() int { return 0 })
	fields := regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: "(.*?)", `)
	descs := make(chan *prometheus.Desc, 1)
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.refused, m.evicted, m.mirrors, m.expiry, m.conns} {
		c.Describe(descs)
		of := fields.FindStringSubmatch((<-descs).String())
		if len(of) < 3 || documented[of[1]] != of[2] {
			t.Errorf("%v is not in docs/metrics.md with this help", of)
			continue
		}
		delete(documented, of[1])
	}
	for name := range documented {
		t.Errorf("docs/metrics.md has %s, the server does not", name)
	}
	if slices.ContainsFunc(allRefusals(), func(r refusal) bool { return strings.HasPrefix(r.remedy(), "see the log") }) {
		t.Error("a refusal has no remedy")
	}
}
