package names_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eastway/eastway/internal/controller/names"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	fmt.Println(names.Hashed("ew-shop", "import", "default", "shop"))
	fmt.Println(names.Label("shop"))
	// Output:
	// ew-shop-import-nmqgfn4dva54
	// shop
}

func TestNames(t *testing.T) {
	t.Parallel()
	long, dots := strings.Repeat("a", 63), strings.Repeat("a.", 100)+"a"
	seen := map[string]bool{}
	for _, name := range []string{
		names.Hashed("ew-"+long, "gateway", "a", "b"), names.Hashed("ew-"+long, "gateway", "ab", ""), names.Hashed("ew-"+long, "pod", "a", "b"),
		names.Hashed("ew-shop", "gateway"), names.Hashed(strings.Repeat("-", 70), "gateway")[1:],
		names.Label(long + "a"), names.Label(long + "b"), names.Label(long),
	} {
		if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 || seen[name] {
			t.Errorf("%s: %v, known: %v", name, wrong, seen[name])
		}
		seen[name] = true
	}
	if name := names.Label(dots); len(validation.IsValidLabelValue(name)) > 0 || len(name) > 63 {
		t.Errorf("%s is no label", name)
	}
}
