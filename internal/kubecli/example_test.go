package kubecli_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/eastway/eastway/internal/kubecli"
)

const kubeconfig = `{apiVersion: v1, kind: Config, current-context: east,
  contexts: [{name: west, context: {cluster: west}}, {name: east, context: {cluster: east}}],
  clusters: [{name: west, cluster: {server: "https://192.0.2.1:6443"}}, {name: east, cluster: {server: "https://192.0.2.2:6443"}}]}`

// A command opens each cluster of the user's kubeconfig; nothing is sent before its first question.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "kubecli")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "config") // "": as kubectl finds it
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	names, err := kubecli.Contexts(kubecli.Options{Kubeconfig: file})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range append(names, "") {
		cluster, err := kubecli.Open(kubecli.Options{Kubeconfig: file, Context: name})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(cluster.Context, cluster.Server, cluster.Namespace, cluster.Release)
		cluster.Close()
	}
	// Output:
	// east https://192.0.2.2:6443 eastway-system eastway
	// west https://192.0.2.1:6443 eastway-system eastway
	// east https://192.0.2.2:6443 eastway-system eastway
}
