//go:build !linux

package takeover

import (
	"context"
	"errors"
	"syscall"
)

func setMark(context.Context, string, string, syscall.RawConn) error { return errors.ErrUnsupported }

func sharePort(syscall.RawConn) error { return nil }

func loadBBR() {}
