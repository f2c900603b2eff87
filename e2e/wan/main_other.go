//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "wan: network namespaces and TUN devices are Linux's; run it there")
	os.Exit(1)
}
