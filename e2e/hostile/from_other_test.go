//go:build !linux

package hostile

import "syscall"

func fromAnyPort(string, string, syscall.RawConn) error { return nil }
