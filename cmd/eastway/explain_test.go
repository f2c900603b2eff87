package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/status"
)

func testExplanations() []status.Explanation {
	e := testEndpoints()
	e[0].EjectionKind = "local"
	return []status.Explanation{
		{
			Port: 8000, Protocol: "HTTP", Region: "cn-hangzhou", Zone: "cn-hangzhou-h", LoadBalancer: "LEAST_REQUEST",
			Request: "GET: repeated on 502,503,504,reset; 2 attempts; timeout none",
			Candidates: []status.Choice{
				{Endpoint: e[2], Weight: 20, Share: 99.96, Rule: "distribute 20 %"},
				{Endpoint: e[1], Share: 0.04, Rule: "not ready"},
				{Endpoint: e[0], Weight: 80, Rule: "ejected: local, 4m0s left"},
			},
		},
		{
			Port: 9000, Protocol: "TCP", Zone: "x", LoadBalancer: "RANDOM",
			Note: "Nothing is in -/x, here or at a connected peer: check how it is spelled.",
		},
	}
}

func explainForTest(_ context.Context, q status.Query) ([]status.Explanation, error) {
	if q.Namespace != "default" || q.Name != "mockb" {
		return nil, nil
	}
	all := testExplanations()
	if len(q.Request) == 0 {
		all[0].Request = ""
	}
	if q.Port != 0 {
		all = all[:1]
	}
	return all, nil
}

func TestPrintExplanations(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := view.Explanations(&b, view.Source{}, testExplanations()); err != nil {
		t.Fatal(err)
	}
	golden(t, "explain.txt", b.Bytes())
}

func TestExplainCommand(t *testing.T) {
	t.Parallel()
	address, dir := startAdmin(t), t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", "GET / HTTP/1.1\nHost: mockb\n")
	bad := file("bad", "GET / HTTP/1.1\nHost : mockb\n")
	long := file("long", strings.Repeat("x", admin.MaxRequestHead+1))
	got := runCommand(t, "explain", "--admin", address, "mockb", "--request", good)
	if got.code != 0 || got.stderr != "" {
		t.Errorf("%+v", got)
	}
	golden(t, "explain.txt", []byte(got.stdout))
	got = runCommand(t, "explain", "--admin", address, "mockb", "--port", "8000", "-o", "json")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("%+v", got)
	}
	golden(t, "explain.json", []byte(got.stdout))
	for args, want := range map[string]result{
		"nope": {code: command.NotFound, stderr: "no such service: default/nope"},
		"mockb --port http": {code: command.Usage, stderr: `invalid argument "http" for "--port" flag: ` +
			"write the port's number, 1 to 65535, not its name\n" +
			"Run 'eastway explain --help' for usage."},
		"mockb --request " + bad: {code: command.Failure, stderr: "--request " + bad + ": line 2: the proxy refuses such a request: field-space"},
		"mockb --request " + long: {
			code: command.Failure, stderr: "--request " + long + ": longer than 65536 bytes",
		},
		"mockb --request " + dir + "/x": {code: command.NotFound, stderr: "read --request: open " + dir + "/x: no such file or directory"},
	} {
		got := runCommand(t, append([]string{"explain", "--admin", address}, strings.Fields(args)...)...)
		want.stderr = "eastway: explain: " + want.stderr + "\n"
		if got != want {
			t.Errorf("explain %s = %+v, want %+v", args, got, want)
		}
	}
}
