//go:build !linux

package relay

import (
	"context"
	"syscall"
)

// ResetWatch does nothing here: a reset is noticed by the next read or write.
// While a connection's both directions are blocked on full windows it goes unnoticed.
type ResetWatch struct{}

// NewResetWatch returns a watch that watches nothing.
func NewResetWatch() (*ResetWatch, error) { return &ResetWatch{}, nil }

// Run waits for ctx to end.
func (*ResetWatch) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (*ResetWatch) add(syscall.RawConn, func()) (func(), error) { return func() {}, nil }
