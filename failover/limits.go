package failover

const (
	moreProxies = "run more proxies, or end idle connections (TrafficPolicy connectionPool.tcp.idleTimeout)"
	moreFiles   = "raise the limit of open files to 40,960 (LimitNOFILE of systemd, ulimit -n)"
)

// limitText is text for what exceeds a limit of this proxy's, or of its host.
func (r refusal) limitText() (what, remedy string) {
	switch r {
	case refusedConnection:
		return "connections refused: as many are open to endpoints as the TrafficPolicy's maxConnections",
			"raise connectionPool.tcp.maxConnections, or add endpoints"
	case refusedListener:
		return "connections refused: as many are open to one of the service's addresses as there may be", moreProxies
	case refusedProxy:
		return "connections refused: as many are open, to all services, as there may be",
			moreProxies + "; if fewer than 16,384 are open, " + moreFiles
	case refusedShare:
		return "connections refused: their source has a quarter of all that may be open, and three quarters are",
			"find out why it keeps so many open (the log has its address), or end idle ones (TrafficPolicy connectionPool.tcp.idleTimeout)"
	case refusedPeer:
		return "HTTP requests of a peer refused: as many are under way as one peer may have", "run more proxies, or find what holds them up"
	case refusedAtPeer:
		return "calls failed: a limit of the proxies there was met",
			"the log and the access log have its reason; 'eastway status' there names the limit and what to do"
	case shortOfPorts:
		return "endpoints not dialed: this host has no free local port for another connection to them",
			"widen net.ipv4.ip_local_port_range, run more proxies or endpoints, or have applications keep their connections: " +
				"one that has ended holds its port for a minute more"
	case shortOfFiles:
		return "connections refused: this process has as many files open as it may", moreFiles
	case shortOfMemory:
		return "connections refused: this host's kernel has no memory for more", "give the host more memory, or run more proxies"
	}
	return string(r), ""
}
