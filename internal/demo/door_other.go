//go:build !linux

package demo

import "syscall"

// refuseNew does nothing: only Linux can keep clients out of a queue.
func refuseNew(syscall.RawConn) error { return nil }

// queued is not known here.
func queued(syscall.RawConn) (int, error) { return 0, nil }
