package main

import (
	"errors"
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/eastway/eastway/tunnel"
)

// limitMemory makes the garbage collector keep to nine tenths of the container's memory limit, unless GOMEMLIMIT is set. It returns
// the limit in bytes; math.MaxInt64 is none.
func limitMemory(log *zap.Logger) int64 {
	limit, err := memlimit.Set()
	switch {
	case errors.Is(err, memlimit.ErrCgroupsNotSupported), errors.Is(err, memlimit.ErrNoCgroup):
	case err != nil:
		log.Warn("the memory limit of this process's cgroup cannot be read: set GOMEMLIMIT", zap.Error(err))
	case limit < math.MaxInt64:
		log.Info("memory limit", zap.Int64("bytes", limit))
	}
	return limit
}

const (
	// leastPeerMemory lets some streams of full windows wait.
	leastPeerMemory = 16 << 20
	// peerShare of the memory limit is what one peer may take at most by default.
	peerShare = 4
)

// peerMemory is what one peer may take, in bytes: what the flag has, else what fits into the process's limit.
func peerMemory(flag *resource.Quantity, limit int64, log *zap.Logger) int64 {
	most := flag.Value()
	if most == 0 {
		return min(tunnel.DefaultPeerMemory, limit/peerShare)
	}
	if most > limit/2 {
		log.Warn("--max-peer-memory is more than half of the memory limit: one peer can use it up",
			zap.Int64("bytes", most), zap.Int64("limit", limit))
	}
	return most
}
