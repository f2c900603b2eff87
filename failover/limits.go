package failover

import (
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/internal/status"
)

const (
	endIdle     = "or end idle connections (TrafficPolicy connectionPool.tcp.idleTimeout)"
	moreProxies = "run more proxies, " + endIdle
)

// limitText is text for what exceeds a limit of this proxy's, or of its host.
func (r refusal) limitText() (what, remedy string) {
	switch r {
	case refusedConnection:
		return "connections refused: as many are open to endpoints as the TrafficPolicy's maxConnections",
			"raise connectionPool.tcp.maxConnections, or add endpoints"
	case refusedCapacity:
		return "requests or connections refused: as many are in flight as endpoints can take by the TrafficPolicy's capacity",
			"add endpoints, here or in another cluster, or raise capacity.maxInFlightPerEndpoint if they can take more"
	case refusedListener:
		return "connections refused: as many are open to one of the service's addresses as there may be",
			"raise --max-connections-per-listener (chart: proxy.limits.connectionsPerListener), " + moreProxies
	case refusedProxy:
		return "connections refused: as many are open, to all services, as there may be",
			"raise --max-connections (chart: proxy.limits.connections), " + moreProxies + "; if fewer than 16,384 are open, " + shortage.MoreFiles
	case refusedShare:
		return "connections refused: their source has a quarter of all that may be open, and three quarters are",
			"find out why it keeps so many open (the log has its address), or end idle ones (TrafficPolicy connectionPool.tcp.idleTimeout)"
	case refusedPeer:
		return "HTTP requests of a peer refused: as many are under way as one peer, or one service for a peer, may have",
			"raise --max-streams-per-peer (chart: proxy.limits.streamsPerPeer), run more proxies, or find what holds them up"
	case refusedStreams:
		return "streams refused: as many are open as one peer may have at a proxy",
			"raise --max-streams-per-peer (chart: proxy.limits.streamsPerPeer), run more proxies, " + endIdle
	case refusedStreamsShare:
		return "streams refused: three quarters of what one peer may have at a proxy are open, and a quarter of it is theirs: of one service",
			"find out why it has so many open (the log has its name), or do as for all: --max-streams-per-peer, more proxies, " + endIdle
	case refusedCallerShare:
		return "streams or requests refused: three quarters of what one service of a peer may have are open, and a quarter of it is one caller's",
			"find out why it has so many open (the access log has its address), or do as for all: --max-streams-per-peer, more proxies, " + endIdle
	case refusedAllStreams:
		return "streams refused: as many are open as all peers together may have at a proxy",
			"raise --max-streams (chart: proxy.limits.streams), run more proxies, " + endIdle
	case refusedAllStreamsShare:
		return "streams refused: three quarters of what all peers may have at a proxy are open, and a quarter of it is this peer's",
			"raise --max-streams (chart: proxy.limits.streams), run more proxies, " + endIdle
	case refusedAtPeer:
		return "calls failed: a limit of the proxies there was met",
			"the log and the access log have its reason; 'eastway status' there names the limit and what to do"
	}
	return shortage.Resource(r).Text()
}

// warn logs which limits the process has no room for.
func (c *Config) warn(log *zap.Logger) {
	most := room(c.OpenFiles, c.Memory)
	if c.MaxConnections < defaultMaxConnections && c.MaxConnections == most || c.MaxStreams < defaultMaxStreams && c.MaxStreams == most {
		log.Warn("fewer connections and streams may be open than by default, because the process may open few files or has little memory",
			zap.Uint64("files", c.OpenFiles), zap.Int64("memory", c.Memory), zap.Int("connections", c.MaxConnections),
			zap.Int("streams", c.MaxStreams), zap.Int("default", defaultMaxConnections), zap.String("remedy", shortage.MoreFiles+", or GOMEMLIMIT"))
	}
	for _, limit := range []struct {
		flag  string
		value int
	}{{"--max-connections", c.MaxConnections}, {"--max-streams", c.MaxStreams}} {
		if limit.value > most {
			log.Warn(limit.flag+" is more than the process has room for: connections may be refused before",
				zap.Int("limit", limit.value), zap.Int("room", most), zap.Uint64("files", c.OpenFiles), zap.Int64("memory", c.Memory),
				zap.String("remedy", "lower the flag, or raise the limit of open files (LimitNOFILE of systemd, ulimit -n) or GOMEMLIMIT"))
		}
	}
}

// Limits are how many connections and streams are open, of as many as there may be.
func (p *Proxy) Limits() []status.Limit {
	outbound, inbound := p.conns.Used()
	return []status.Limit{
		{Name: "connections", Used: outbound, Most: p.cfg.MaxConnections},
		{Name: "connections per listener", Most: p.cfg.MaxConnectionsPerListener},
		{Name: "streams of peers", Used: inbound, Most: p.cfg.MaxStreams},
		{Name: "streams per peer", Most: p.cfg.MaxStreamsPerPeer},
	}
}
