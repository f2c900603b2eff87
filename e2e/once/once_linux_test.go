package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestMain(m *testing.M) {
	if os.Getenv(appVariable) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// A shorter run of the command, as a user starts it.
func TestOnce(t *testing.T) {
	var out strings.Builder
	file := filepath.Join(t.TempDir(), "once.json")
	err := run(t.Context(), []string{"-posts", "15000", "-gets", "15000", "-faults", "20", "-rate", "1500", "-json", file}, &out, os.Stderr)
	t.Log("\n" + out.String())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "POST  15000 sent") || !strings.Contains(out.String(), "\n0 violations") {
		t.Error("the report does not say so")
	}
	if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), `"violations": []`) {
		t.Errorf("JSON: %s, %v", data, err)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	out := []outage{{entry: 1, from: now, to: now.Add(time.Second)}}
	during := call{entry: 1, start: now.Add(-time.Second), end: now.Add(time.Millisecond)}
	for name, test := range map[string]struct {
		call     call
		executed int
		want     verdict
	}{
		"a POST executed twice":                      {call{post: true, status: 503, reason: "unknown-outcome"}, 2, twice},
		"… through a proxy that was killed":          {call{post: true, entry: 1, start: during.start, end: during.end}, 2, twice},
		"a claim that does not hold":                 {call{post: true, status: 503, reason: "not-executed"}, 1, wrongClaim},
		"a GET too":                                  {call{status: 503, reason: "no-endpoint"}, 1, wrongClaim},
		"a GET through a proxy that was killed":      {during, 0, entryKilled},
		"… through another":                          {call{entry: 0, start: during.start, end: during.end}, 0, failed},
		"… before":                                   {call{entry: 1, start: now.Add(-2 * time.Second), end: now.Add(-time.Second)}, 0, failed},
		"… after":                                    {call{entry: 1, start: now.Add(2 * time.Second), end: now.Add(3 * time.Second)}, 0, failed},
		"a POST that could have gone elsewhere":      {call{post: true, status: 503, reason: "not-executed"}, 0, lost},
		"an answer that breaks off":                  {call{status: 200, err: "unexpected EOF"}, 1, brokenOff},
		"a GET answered by a broken application":     {call{status: 503, broken: true}, 1, failed},
		"a POST answered by a broken application":    {call{post: true, status: 503, broken: true}, 1, answeredErr},
		"a POST with unknown outcome":                {call{post: true, status: 503, reason: "unknown-outcome"}, 1, unknown},
		"… that was not executed":                    {call{post: true, status: 503, reason: "unknown-outcome"}, 0, unknownNot},
		"a GET with unknown outcome":                 {call{status: 503, reason: "unknown-outcome"}, 1, failed},
		"a POST without an answer in time":           {call{post: true, status: 504, reason: "timeout"}, 1, timedOut},
		"a POST whose connection ended":              {call{post: true, err: "EOF"}, 0, failed},
		"a POST answered by something else than 200": {call{post: true, status: 400}, 0, failed},
	} {
		if got := test.call.judge(test.executed, out); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// Each policy that is drawn counts: a proxy goes on with the last one before one that is not valid.
func TestPolicies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		for _, text := range bytes.Split(policies(rand.New(rand.NewPCG(seed, 0))), []byte("---\n"))[1:] {
			var p v1alpha1.TrafficPolicy
			if err := yaml.UnmarshalStrict(text, &p); err != nil {
				t.Fatalf("%v:\n%s", err, text)
			}
			if errs := v1alpha1.ValidateTrafficPolicy(&p); len(errs) > 0 || p.Spec.TargetRef.Name != p.Name {
				t.Fatalf("%v:\n%s", errs, text)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-posts=-1":           "-posts -1",
		"-posts=0 -gets=0":    "nothing to send",
		"-faults=10001":       "-faults 10001",
		"-rate=0":             "-rate 0",
		"-posts=many":         "invalid value",
		"more":                `arguments ["more"]`,
		"-posts=1 -rate=1e9":  "-rate 1e+09",
		"-gets=2000000000000": "-gets 2000000000000",
	} {
		if _, err := parseOptions(strings.Fields(args), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
