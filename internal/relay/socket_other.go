//go:build !linux

package relay

import "syscall"

// lazyRead is for Linux; elsewhere a buffer is held while a read waits.
type lazyRead struct{}

func (*lazyRead) init() {}

func (t *TCP) readBuffer(b *buffer) (int, error) { return t.Read(b.acquire()) }

// socketError cannot be known here.
func socketError(syscall.RawConn) error { return ErrReset }

// socketClosed cannot be known here: a reset whose error a write took at the same moment may read as an end.
func socketClosed(syscall.RawConn) bool { return false }

// unsent cannot be known here: a reset may discard bytes of the send queue.
func unsent(syscall.RawConn) int { return 0 }

// pending cannot be known here: a request may be written to a connection that has just ended.
func pending(syscall.RawConn) bool { return false }

// peek cannot be had here: as with pending.
func peek(syscall.RawConn, []byte) (n int, ended bool) { return 0, false }

// oobInline does nothing here: urgent data is taken out of the stream.
func oobInline(syscall.RawConn) error { return nil }

// ResetOnClose cannot be had here: a dial that is given up at the last moment may end clean, and so may a connection that was
// accepted when this process is killed.
func ResetOnClose(_, _ string, _ syscall.RawConn) error { return nil }
