//go:build unix

// Command pause is what holds a pod's namespaces: it waits for SIGTERM,
// and buries processes that were left to it.
package main

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// memoryLimit in bytes: there is one of it in each pod.
const memoryLimit = 2 << 20

func main() {
	debug.SetMemoryLimit(memoryLimit)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for pid := 1; pid > 0; { // one signal may stand for several
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}
