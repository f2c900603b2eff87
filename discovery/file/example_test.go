package file_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/eastway/eastway/discovery/file"
)

// Check finds what is wrong in a directory of manifests before a proxy uses it.
func ExampleCheck() {
	dir, err := os.MkdirTemp("", "manifests")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	text := `apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  clusterIP: 127.1.0.1
  ports: [{prot: 80}]
`
	if err := os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	report, err := file.Check(file.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range report.Errors {
		fmt.Println(e)
	}
	// Output:
	// shop.yaml:6: document 1: spec.ports[0].prot: unknown field, perhaps port is meant
}
