package kubeconfig_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/kubeconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const text = `apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "https://a:1"}}, {name: b, cluster: {server: "https://b:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: a, context: {cluster: a, user: u}}, {name: b, context: {cluster: b, user: u}}]
current-context: a
`

func TestLoad(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for context, want := range map[string]string{"": "https://a:1", "b": "https://b:1"} {
		c, err := kubeconfig.Load(file, context)
		if err != nil || c.Host != want {
			t.Errorf("context %q: %v, %v", context, c, err)
		}
	}
	if _, err := kubeconfig.Load(file+"x", ""); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Error(err)
	}
}

func ExampleLoad() {
	_, err := kubeconfig.Load("/nowhere", "")
	fmt.Println(err != nil)
	// Output: true
}
