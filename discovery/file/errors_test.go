package file

import (
	"errors"
	"os"
	"path/filepath"
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
	errs, err := Check(config(filepath.Join("testdata", "broken")))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range errs {
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
