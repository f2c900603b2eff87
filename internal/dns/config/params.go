package config

import "time"

// Defaults and bounds of fields.
const (
	// DefaultTTL of addresses: resolvers keep an address that went out for as long.
	DefaultTTL = 5 * time.Second
	minTTL     = time.Second
	maxTTL     = time.Hour
	// DefaultNegativeTTL of answers that something is not there.
	DefaultNegativeTTL = 5 * time.Second
	// DefaultInterval and DefaultTimeout of probes, with two failures in a row, find an entry that refuses connections in 1.25 s at
	// most, one that is silent in 3.25 s.
	DefaultInterval = time.Second
	DefaultTimeout  = time.Second
	minInterval     = 100 * time.Millisecond
	maxInterval     = 5 * time.Minute
	// maxTimeout keeps silent addresses from holding what probes need for long.
	maxTimeout = 10 * time.Second
	// DefaultThreshold is how many results in a row take an address out, or back in.
	DefaultThreshold = 2
	maxThreshold     = 100
	// maxWeight keeps sums far from overflowing.
	maxWeight = 1_000_000
)

// Bounds of what is read.
const (
	// maxFiles and maxFileSize (bytes) of a directory.
	maxFiles    = 1_000
	maxFileSize = 4 << 20
	// maxTotal is how much is read of all files, in bytes.
	maxTotal = 64 << 20
	// maxZones is how many DNSZones are served.
	maxZones = 100
	// maxNames is how many GlobalNames are served: each is judged by probes of its own entries.
	maxNames = 1_000
	// maxEntries and maxAddresses of each of them: 16 by 8 addresses fit no response over UDP, which is truncated.
	maxEntries   = 16
	maxAddresses = 8
	maxServices  = 16
	// maxPlaces is how many prefixes may have a region: each query to such a name looks at all of them.
	maxPlaces = 4_096
	// maxNameServers is that of the root zone, which fits a response without EDNS.
	maxNameServers = 13
)
