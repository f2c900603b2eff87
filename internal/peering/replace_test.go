package peering_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/peering"
)

func TestReplaceable(t *testing.T) {
	t.Parallel()
	const peer = "apiVersion: eastway.dev/v1alpha1\nkind: Peer\nmetadata: {name: b}\n"
	for name, c := range map[string]struct{ text, want string }{
		"the Peer":                    {peer, ""},
		"twice":                       {peer + "---\n" + peer, ""},
		"the Peer, broken":            {peer + "spec: [\n", ""},
		"comments":                    {"# nothing\n---\n", ""},
		"nothing":                     {"", ""},
		"another Peer":                {strings.Replace(peer, "name: b", "name: c", 1), "overwrite: Peer c: move"},
		"the Peer, and a Service":     {peer + "---\nkind: Service\nmetadata: {name: x, namespace: y}\n", "overwrite: Service y/x: move"},
		"what is no YAML":             {"a: [\n", "document 1, whose kind cannot be read"},
		"a List":                      {"apiVersion: v1\nkind: List\nitems:\n- {kind: A, metadata: {name: a}}\n- {kind: B}\n", "A a, B "},
		"more than a message can say": {strings.Repeat("---\nkind: A\n", 7), "A , A , A , A , A , 2 more"},
	} {
		path := filepath.Join(t.TempDir(), "peer-b.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := peering.Replaceable(path, "b")
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "peer-b.yaml")
	if err := peering.Replaceable(link, "b"); err != nil {
		t.Errorf("no file: %v", err)
	}
	if err := os.Symlink("elsewhere.yaml", link); err != nil {
		t.Fatal(err)
	}
	if err := peering.Replaceable(link, "b"); err == nil || !strings.Contains(err.Error(), "symbolic link to elsewhere.yaml") {
		t.Errorf("a link: %v", err)
	}
}
