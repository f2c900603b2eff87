package kube

import "time"

// Pace of following the API server.
const (
	// debounce is how long it must be quiet before the catalog is updated: a rollout makes several events for one change.
	debounce = 50 * time.Millisecond
	// maxDebounce is how long a cluster that is never quiet is left untold.
	maxDebounce = 500 * time.Millisecond
	// settleGrace is how long, once Services, EndpointSlices and Nodes are known, the other kinds are waited for before the
	// catalog is set for the first time: peers should not get it in pieces.
	settleGrace = 5 * time.Second

	// readinessSettle is how long a node must be in touch with the control plane again before its pods count as not
	// ready: the kubelet updates their status every 10 s.
	readinessSettle = time.Minute

	// clientQPS and clientBurst bound requests per second: six lists, in pages of 500 when the API server asks for that.
	clientQPS   = 50
	clientBurst = 100
)

// Bounds and pace of the snapshot.
const (
	// saveInterval is the least time between two writings of the snapshot.
	saveInterval = 2 * time.Second
	// saveRetry is when a writing that failed is tried again if nothing changes meanwhile: a disk may have room by then.
	saveRetry = 30 * time.Second
	// saveShare bounds the part of one core that saving takes: after one that took t, the next waits saveShare times t, but
	// not longer than saveRetry.
	saveShare = 50
	// maxSnapshot is the largest file, in bytes; 20,000 Services with 100,000 endpoints take about 40 MB.
	maxSnapshot = 256 << 20
	// maxSnapshotHeader is the longest first line of a file, in bytes.
	maxSnapshotHeader = 4 << 10
	// maxSnapshotObjects is how many objects one file may hold.
	maxSnapshotObjects = 500_000
)

// maxProblems is how many problems are listed; their number is known beyond that.
const maxProblems = 500
