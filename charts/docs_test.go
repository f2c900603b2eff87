package charts

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/internal/need"
)

func read(t *testing.T, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReadmeIsUpToDate(t *testing.T) {
	t.Parallel()
	modules, err := filepath.Abs("../tools/helm-docs.mod")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile="+modules, "helm-docs", "-c", ".", "-s", "file", "-l", "warning", "--dry-run")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	want, err := cmd.Output()
	if err != nil {
		t.Fatalf("helm-docs: %v\n%s", err, problems.Bytes())
	}
	if !bytes.Equal(bytes.TrimSpace(want), bytes.TrimSpace(read(t, chart, "README.md"))) {
		t.Error("charts/eastway/README.md does not match values.yaml: make chart-readme")
	}
}

// A value that the schema does not know could never be set, and one that has no default cannot be found.
func TestSchemaAndValuesMatch(t *testing.T) {
	t.Parallel()
	type node struct {
		Type       string
		Ref        string `json:"$ref"`
		Properties map[string]json.RawMessage
		Additional *json.RawMessage `json:"additionalProperties"`
	}
	var walk func(path string, schema json.RawMessage, values any)
	walk = func(path string, schema json.RawMessage, values any) {
		var n node
		if err := json.Unmarshal(schema, &n); err != nil {
			t.Fatal(err)
		}
		if n.Properties == nil {
			return
		}
		if n.Additional == nil || string(*n.Additional) != "false" {
			t.Errorf("the schema allows anything below %q", path)
		}
		object, _ := values.(map[string]any)
		for key, below := range n.Properties {
			value, found := object[key]
			if !found && path+key != "global" {
				t.Errorf("%s%s has no default in values.yaml", path, key)
				continue
			}
			walk(path+key+".", below, value)
		}
	}
	var values any
	if err := yaml.Unmarshal(read(t, chart, "values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	walk("", read(t, chart, "values.schema.json"), values)
}

// Alerts and panels are about metrics that exist.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	known := read(t, "../docs/metrics.md")
	name := regexp.MustCompile(`\beastway_[a-z_]+`)
	for _, file := range []string{"alerts.yaml", "dashboard.json"} {
		text := read(t, chart, "files", file)
		metrics := name.FindAll(text, -1)
		if len(metrics) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, metric := range metrics {
			metric = bytes.TrimSuffix(metric, []byte("_bucket"))
			if !bytes.Contains(known, append(append([]byte("| `"), metric...), '`')) {
				t.Errorf("%s: docs/metrics.md does not have %s", file, metric)
			}
		}
	}
}

func TestDashboardIsWhole(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(read(t, chart, "files", "dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for i, p := range dashboard.Panels {
		if seen[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: the ID is there twice, or there is nothing in it", p.ID, p.Title)
		}
		seen[p.ID] = true
		for _, other := range dashboard.Panels[:i] {
			a, b := p.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, other.Title)
			}
		}
	}
}

// ruleGroups are a Prometheus rule file, or the spec of a PrometheusRule.
type ruleGroups struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// What is rendered is what TestAlerts tests: helm must not render the alerts' own templates, for instance.
func TestAlertsAreRendered(t *testing.T) {
	t.Parallel()
	var source, got ruleGroups
	if err := yaml.UnmarshalStrict(read(t, chart, "files", "alerts.yaml"), &source); err != nil {
		t.Fatal(err)
	}
	for _, o := range named[*unstructured.Unstructured](render(t, valueSets()["everything"])) {
		if o.GetKind() != "PrometheusRule" {
			continue
		}
		spec, err := yaml.Marshal(o.Object["spec"])
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(spec, &got); err != nil {
			t.Fatal(err)
		}
	}
	for _, group := range source.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("alert %+v does not say everything", rule)
			}
			rule.Labels["team"] = "network" // monitoring.prometheusRule.alertLabels
		}
	}
	if len(source.Groups) == 0 || !reflect.DeepEqual(source, got) {
		t.Errorf("rendered\n%+v\nwant\n%+v", got, source)
	}
}

// Each alert has a case in which it fires and one in which it does not, and a line in the table for operators.
func TestAlertsAreComplete(t *testing.T) {
	t.Parallel()
	var rules ruleGroups
	if err := yaml.UnmarshalStrict(read(t, chart, "files", "alerts.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	var played struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(read(t, "testdata", "alerts_test.yaml"), &played); err != nil {
		t.Fatal(err)
	}
	fires, rests := make(map[string]bool), make(map[string]bool)
	for _, test := range played.Tests {
		for _, c := range test.AlertRuleTest {
			fires[c.Alertname] = fires[c.Alertname] || len(c.ExpAlerts) > 0
			rests[c.Alertname] = rests[c.Alertname] || len(c.ExpAlerts) == 0
		}
	}
	table := read(t, "..", "docs", "operations.md")
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if !fires[rule.Alert] || !rests[rule.Alert] {
				t.Errorf("%s: a case in which it fires: %t, in which it does not: %t", rule.Alert, fires[rule.Alert], rests[rule.Alert])
			}
			if row := "| " + rule.Alert + " | " + rule.Labels["severity"] + " |"; !bytes.Contains(table, []byte(row)) {
				t.Errorf("docs/operations.md has no line %s", row)
			}
		}
	}
}

// TestAlerts has promtool check the rules and play cases through them.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool := need.Program(t, "promtool", "prometheus")
	for _, args := range [][]string{
		{"check", "rules", filepath.Join(chart, "files", "alerts.yaml")}, {"test", "rules", "testdata/alerts_test.yaml"},
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
}
