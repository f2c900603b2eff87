package convert

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/command"
)

const (
	head    = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
	plain   = head + "metadata: {name: a}\nspec: {host: a, trafficPolicy: {loadBalancer: {simple: RANDOM}}}\n"
	changed = head + "metadata: {name: b}\nspec: {host: b, subsets: []}\n"
	refused = head + "metadata: {name: c}\nspec: {host: c, workloadSelector: {}}\n"
	pod     = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
	files   = head + "metadata: {name: f}\nspec: {host: a.example, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /etc/ssl/a.pem}}}\n"
	entry   = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e}
spec: {hosts: [a.example], resolution: DNS, ports: [{number: 80, name: http}]}
`
)

// The exit code says whether everything could be converted, and what could be is printed in any case.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	for name, c := range map[string]struct {
		text string
		args []string
		code int
		note string
	}{
		"nothing to say":       {plain, []string{"-", "--strict"}, command.OK, ""},
		"changed":              {plain + "---\n" + changed, []string{"-"}, command.OK, "stdin:9: DestinationRule default/b: spec.subsets: changed: "},
		"changed, strictly":    {plain + "---\n" + changed, []string{"-", "--strict"}, command.Failure, "spec.subsets"},
		"refused":              {plain + "---\n" + refused, []string{"-"}, command.Failure, "spec.workloadSelector: refused: "},
		"twice":                {plain + "---\n" + plain, []string{"-"}, command.Failure, "default/a: invalid: is already in stdin:2"},
		"no manifest":          {plain + "---\nx: 1\n", []string{"-"}, command.Failure, "invalid"},
		"no apiVersion":        {plain + "---\nkind: Pod\n", []string{"-"}, command.Failure, "Pod: invalid: no apiVersion"},
		"no YAML":              {plain + "---\n{", []string{"-"}, command.Failure, "invalid: invalid YAML"},
		"a value of no use":    {plain + "---\n" + strings.Replace(plain, "RANDOM", "[]", 1), []string{"-"}, command.Failure, "a string"},
		"files":                {entry + "---\n" + files, []string{"-"}, command.OK, ""},
		"files, for a cluster": {entry + "---\n" + files, []string{"-", "--kubernetes"}, command.Failure, "on Kubernetes proxies read no files"},
		"another kind":         {plain + "---\n" + pod, []string{"-", "--strict"}, command.OK, "Pod p: passed over: "},
		"no file":              {"", []string{missing}, command.NotFound, ""},
		"a directory":          {"", []string{filepath.Dir(missing)}, command.Failure, ""},
		"no argument":          {"", []string{}, command.Usage, ""},
		"too large":            {strings.Repeat("#", 5<<20), []string{"-"}, command.Failure, ""},
		"nothing":              {"", []string{"-"}, command.OK, ""},
		"only what is changed": {changed, []string{"-"}, command.OK, "changed"},
	} {
		var out, notes strings.Builder
		cmd := NewCommand()
		cmd.SetArgs(c.args)
		cmd.SetIn(strings.NewReader(c.text))
		cmd.SetOut(&out)
		cmd.SetErr(&notes)
		run := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error { return command.Started(run(cmd, args)) }
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.Execute()
		if got := command.ExitCode(err); got != c.code {
			t.Errorf("%s: exit code %d, want %d: %v", name, got, c.code, err)
		}
		if err != nil && strings.HasPrefix(err.Error(), cmd.Name()) {
			t.Errorf("%s: the error names the command, as main does: %v", name, err)
		}
		if !strings.Contains(notes.String(), c.note) {
			t.Errorf("%s: notes\n%s\nwithout %q", name, notes.String(), c.note)
		}
		if has := strings.Contains(out.String(), "kind: TrafficPolicy"); has != strings.HasPrefix(c.text, plain) {
			t.Errorf("%s: output\n%s", name, out.String())
		}
	}
}

// Files are read together: the order of what is printed is theirs.
func TestSeveralFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rule, entries := filepath.Join(dir, "rule.yaml"), filepath.Join(dir, "entry.yaml")
	for name, text := range map[string]string{
		rule:    strings.ReplaceAll(plain, "host: a", "host: a.example"),
		entries: entry,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	cmd := NewCommand()
	cmd.SetArgs([]string{rule, entries})
	cmd.SetOut(&out)
	if err := cmd.Execute(); err != nil || !strings.Contains(out.String(), "kind: ExternalService\n    name: e\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
