//go:build !linux

package nft

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Table exists on Linux only.
type Table struct{}

// Config is where the tables are, and how long entries live.
type Config struct {
	Timeout time.Duration
	NetNS   *os.File
}

// New fails: nftables is a part of Linux.
func New(Config) (*Table, error) { return nil, fmt.Errorf("nft: nftables: %w", errors.ErrUnsupported) }

// Apply fails, as New does.
func (*Table) Apply(*Ruleset) error { return fmt.Errorf("nft: nftables: %w", errors.ErrUnsupported) }

// Delete fails, as New does.
func (*Table) Delete() error { return fmt.Errorf("nft: nftables: %w", errors.ErrUnsupported) }
