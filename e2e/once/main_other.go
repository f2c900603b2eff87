//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "once: it needs addresses such as 127.77.0.1, which only Linux has without setup; run it there")
	os.Exit(1)
}
