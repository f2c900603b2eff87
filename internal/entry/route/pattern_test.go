package route

import (
	"net/http"
	"strings"
	"testing"
)

// The time that regular expressions take grows with the text: what is too long gets no answer by a rule that comes later.
func TestTooLong(t *testing.T) {
	t.Parallel()
	table, _ := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil,
		`{matches: [{headers: [{name: x-a, type: RegularExpression, value: "a*"}]}, `+
			`{path: {value: /q}, queryParams: [{name: q, type: RegularExpression, value: "a*"}]}], `+toCart+`}`, `{`+toCart+`}`))
	long := strings.Repeat("a", maxRegexInput+1)
	for _, test := range []struct {
		line, header string
		status       int // 0: forwarded
	}{
		{"GET http://x/" + long[:maxPath-1], "", 0},
		{"GET http://x/" + long[:maxPath], "", http.StatusRequestURITooLong},
		{"GET http://x/", long[1:], 0},
		{"GET http://x/", long, http.StatusRequestHeaderFieldsTooLarge},
		{"GET http://x/q?q=" + long[1:], "", 0},
		{"GET http://x/q?q=" + long, "", http.StatusRequestHeaderFieldsTooLarge},
		{"GET http://x/q?r=" + long, "", 0},
	} {
		d := table.Match(80, request(test.line, "X-A: "+test.header), 0)
		if d.Status != test.status || (d.Kind == Forward) != (test.status == 0) || (d.Reason == ReasonTooLong) != (test.status != 0) {
			t.Errorf("%.20s, %d bytes of a header: %d %s, want %d", test.line, len(test.header), d.Status, d.Reason, test.status)
		}
	}
}

// BenchmarkWorstPattern is the time of one instruction of an expression for the longest path.
func BenchmarkWorstPattern(b *testing.B) {
	re, wrong := newPattern(`.*(a.{200}b).*`)
	if wrong != "" {
		b.Fatal(wrong)
	}
	path := "/" + strings.Repeat("a", maxPath-1)
	for b.Loop() {
		re.MatchString(path)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*re.size), "µs/instruction")
}
