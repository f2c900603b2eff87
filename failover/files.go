package failover

const (
	// tunnelFiles of the files that the process may have open are left for tunnels, listeners and the streams of peers, or half of
	// them, if that is less: peers must be able to connect while applications have all that they may.
	tunnelFiles = 8192
	// filesPerConnection of an application: its socket, and one to an endpoint.
	filesPerConnection = 2
)

// connectionsWithin is how many connections of applications a process may have that can open so many files.
func connectionsWithin(files uint64) int {
	left := files - min(files/2, tunnelFiles)
	return int(min(left/filesPerConnection, defaultMaxConnections))
}
