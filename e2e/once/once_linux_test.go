package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
