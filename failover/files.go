package failover

import (
	"math"

	"github.com/eastway/eastway/internal/descriptors"
)

const (
	// filesPerConnection of an application: its socket, and one to an endpoint.
	filesPerConnection = 2
	// filesPerStream of a peer: one to an endpoint.
	filesPerStream = 1
	// connectionMemory of an idle connection, or stream, in bytes: between that of TCP and that of HTTP (docs/limits.md).
	connectionMemory = 28 << 10
	// memoryForConnections is the part of the process's memory that all of them may take, as a divisor.
	memoryForConnections = 2
)

// room is how many connections of applications, and how many streams of peers, a process has room for that may have so many files open,
// and so many bytes of memory; 0: any number.
func room(files uint64, memory int64) int {
	most := math.MaxInt
	if files > 0 {
		most = int(min((files-descriptors.Reserve(files))/(filesPerConnection+filesPerStream), math.MaxInt32))
	}
	if memory > 0 {
		most = min(most, int(min(memory/memoryForConnections/(2*connectionMemory), math.MaxInt32)))
	}
	return max(most, 1)
}
