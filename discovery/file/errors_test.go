package file

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// config is that of a cluster called one.
func config(dir string) Config {
	return Config{
		Dir: dir, Cluster: "one", SPIFFEID: "spiffe://one/eastway/cluster/one", Region: "cn-hangzhou",
		ValidatePeer: func(_, _, bundle string) error {
			if bundle != "PEM" {
				return field.Invalid(field.NewPath("spec", "trustBundle"), field.OmitValueType{}, "neither PEM nor JWKS")
			}
			return nil
		},
	}
}

// Each error names file, line, document and field, and what is wrong in a user's own terms.
func TestErrors(t *testing.T) {
	t.Parallel()
	report, err := Check(config(filepath.Join("testdata", "broken")))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range report.Errors {
		b.WriteString(e.Error() + "\n")
	}
	want, err := os.ReadFile(filepath.Join("testdata", "broken.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got:\n%swant:\n%s", b.String(), want)
	}
}

// A directory that is also for kubectl is in order: there is one note for each file, and none is an error.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"README.md": "# Shop", ".old.yaml": service("x", 80),
		"a.yaml": service("a", 80) + "---\n" + foreign + "---\n" + foreign + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n",
		"b.yaml": service("b", 81) + "---\n" + peer("p") + "---\n" + peer("q"),
		"c.yaml": "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}\n",
	} {
		write(t, dir, name, text)
	}
	report, err := Check(config(dir))
	if err != nil || len(report.Errors) > 0 || report.Files != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	if want := map[string]int{"Service": 2, "Peer": 2}; !maps.Equal(report.Objects, want) {
		t.Errorf("%v, want %v", report.Objects, want)
	}
	var notes []string
	for _, n := range report.Notes {
		notes = append(notes, n.File+": "+n.Message)
	}
	want := []string{
		".old.yaml: hidden files are not read",
		"README.md: only files named *.yaml, *.yml and *.json are read",
		"a.yaml: objects of kinds that Eastway does not read are ignored: 2 × apps/v1 Deployment, v1 Secret",
		"c.yaml: objects of kinds that Eastway does not read are ignored: serving.knative.dev/v1 Service",
	}
	if !slices.Equal(notes, want) {
		t.Errorf("%q, want %q", notes, want)
	}
}

func TestCheckOfNoDirectory(t *testing.T) {
	t.Parallel()
	if _, err := Check(config(filepath.Join(t.TempDir(), "missing"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
	if _, err := Check(Config{}); err == nil || !strings.Contains(err.Error(), "Config.Dir") {
		t.Errorf("err = %v", err)
	}
	if _, err := New(Config{Dir: "x", Region: "a b"}, nil); err == nil || !strings.Contains(err.Error(), "Config.Region") {
		t.Errorf("err = %v", err)
	}
}
