package mcs

import "time"

const (
	// settle is how long events of one service are gathered before it is looked at: its own writes come back as events too.
	settle = 100 * time.Millisecond
	// catalogPace is the least time between two looks at the catalog, each of which compares all its services.
	catalogPace = 200 * time.Millisecond
	// heardPace is how often it is checked which peers have spoken since the start: one that exports nothing changes nothing.
	heardPace = 2 * time.Second
	// workers reconcile so many services at a time: enough to hide the API server's latency.
	workers = 16

	// maxImportPorts bounds the ports of one import: each takes a port on every proxy.
	maxImportPorts = 256
	// maxImportPods bounds the remote pods of one headless import: each takes a Service with a cluster IP.
	maxImportPods = 256
	// maxExportedWords bounds exported labels and annotations together, in bytes; an object may have 256 KiB of annotations.
	maxExportedWords = 64 << 10
	// maxAffinity is the longest sessionAffinityConfig.clientIP.timeoutSeconds that Kubernetes takes.
	maxAffinity = 24 * time.Hour
	// maxNamed is how many clusters a message lists by name.
	maxNamed = 5
)
