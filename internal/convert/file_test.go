package convert

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/file"
)

// local is what a proxy would take from a directory with one manifest.
type local struct {
	services map[discovery.ServiceName]*discovery.Service
	policies map[discovery.ServiceName]*v1alpha1.TrafficPolicySpec
}

type sink func(discovery.Local)

func (s sink) SetLocal(l discovery.Local) { s(l) }

func load(t *testing.T, text []byte) (local, []file.FileError) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := local{map[discovery.ServiceName]*discovery.Service{}, map[discovery.ServiceName]*v1alpha1.TrafficPolicySpec{}}
	source, err := file.New(file.Config{Dir: dir, Cluster: "own"}, sink(func(l discovery.Local) {
		maps.Insert(got.services, l.Services.All())
		maps.Insert(got.policies, l.Policies.All())
		cancel()
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return got, source.Errors()
}

// A proxy that reads a manifest of Istio has the same services and policies as one that reads what it is converted to, and says the same.
func TestFileModeReadsTheSame(t *testing.T) {
	t.Parallel()
	for _, name := range manifests(t) {
		text := read(t, name)
		c, err := convert([]input{{"x.yaml", text}}, false)
		if err != nil {
			t.Fatal(err)
		}
		direct, errs := load(t, text)
		converted, none := load(t, c.yaml)
		for n, s := range direct.services { // The Services beside them are not converted.
			if s.External == nil {
				delete(direct.services, n)
			}
		}
		if !reflect.DeepEqual(direct, converted) {
			t.Errorf("%s:\nas it is  %+v\nconverted %+v", name, direct, converted)
		}
		for _, e := range none {
			if !e.Warning {
				t.Errorf("%s: what it is converted to: %v", name, e)
			}
		}
		same(t, name, c, errs)
	}
}

// same compares what the command says with what a proxy says.
func same(t *testing.T, name string, c *conversion, errs []file.FileError) {
	t.Helper()
	said := map[string]bool{}
	for _, e := range errs {
		said[e.Field+": "+e.Message] = !e.Warning
	}
	for _, l := range c.lines {
		switch l.effect {
		case passed:
			continue
		case "refused":
			if failed, ok := said[l.field+": "+l.message]; !ok || !failed {
				t.Errorf("%s: no error %s in %v", name, l, errs)
			}
		default:
			if failed, ok := said[l.field+": "+string(l.effect)+": "+l.message]; !ok || failed {
				t.Errorf("%s: no warning %s in %v", name, l, errs)
			}
		}
	}
}

// FuzzConvert: whatever a file holds, each note has a line within it, and a proxy can read what is printed.
func FuzzConvert(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "*", "*.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := convert([]input{{"x.yaml", data}}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range c.lines {
			if l.number < 1 || l.message == "" || l.effect == "" {
				t.Errorf("%+v", l)
			}
		}
		if again, err := convert([]input{{"y.yaml", c.yaml}}, false); err != nil || again.count(invalid) > 0 || len(again.yaml) > 0 {
			t.Errorf("%v: of %q comes %q, and of that %q", err, data, c.yaml, again.yaml)
		}
		if len(data) < 10<<10 {
			for _, e := range check(t, c.yaml) {
				if !e.Warning {
					t.Errorf("%v\nin %s\nof %q", e, c.yaml, data)
				}
			}
		}
	})
}

func check(t *testing.T, text []byte) []file.FileError {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := file.Check(file.Config{Dir: dir, Cluster: "own"})
	if err != nil {
		t.Fatal(err)
	}
	var out []file.FileError
	for _, e := range report.Errors {
		if !strings.Contains(e.Message, "is already") { // two ServiceEntries may want one address, or one name
			out = append(out, e)
		}
	}
	return out
}
