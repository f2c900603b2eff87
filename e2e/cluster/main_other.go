//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: nodes are made of namespaces, which are Linux's; run it there")
	os.Exit(1)
}
