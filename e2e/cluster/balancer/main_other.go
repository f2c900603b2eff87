//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "balancer: nftables are Linux's; run it there")
	os.Exit(1)
}
