package lab

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The document names all packages before anything is built.
func TestPackagesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "apt-get install --no-install-recommends ")
	line, _, _ = strings.Cut(line, "\nmake ")
	named := strings.Fields(strings.ReplaceAll(line, "\\\n", " "))
	for _, needed := range append(tools(), tool{debian: "containernetworking-plugins"}) {
		if !slices.Contains(named, needed.debian) {
			t.Errorf("docs/kubernetes.md names the packages %q, not %s", named, needed.debian)
		}
	}
}
