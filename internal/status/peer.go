package status

import "time"

// Values of Peer.State and Link.State.
const (
	Connected    = "connected"
	Suspect      = "suspect" // silent: no new streams go there
	Draining     = "draining"
	Connecting   = "connecting"   // heard, without a lane for calls
	Disconnected = "disconnected" // of peers only: no link
)

// Values of Lane.Role.
const (
	RoleControl = "control"
	RoleLane    = "lane"
)

// Peer is one peer as `eastway status` shows it.
type Peer struct {
	Peer string `json:"peer"`
	// State is the best state of the peer's links.
	State string `json:"state"`
	// LastError is why the newest attempt to connect failed; empty once connected.
	LastError string `json:"lastError,omitempty"`
	// Reason is the problem of trust behind LastError; empty when that has another cause.
	Reason string `json:"reason,omitempty"`
	Links  []Link `json:"links"`
}

// Link is one replica of a peer.
type Link struct {
	Replica string `json:"replica"`
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	// Dialed is true when this side dialed.
	Dialed bool `json:"dialed"`
	// Control is the transport of the control connection, "" while there is none.
	Control string `json:"control"`
	// RTT is the smoothed round trip of control pings.
	RTT   time.Duration `json:"rttNanos"`
	Age   time.Duration `json:"ageNanos"`
	Heard time.Duration `json:"heardNanos"` // since the last inbound byte
	Lanes []Lane        `json:"lanes"`
}

// Lane is one connection of a link.
type Lane struct {
	Name              string        `json:"name"`
	Transport         string        `json:"transport"` // "tcp" or "quic"
	Role              string        `json:"role"`
	Local             string        `json:"local"`
	Remote            string        `json:"remote"`
	CongestionControl string        `json:"congestionControl"`
	TLS               string        `json:"tls"` // version, cipher suite, key exchange
	RTT               time.Duration `json:"rttNanos"`
	Age               time.Duration `json:"ageNanos"`
	Streams           int           `json:"streams"`
	// Sent and Lost count packets (QUIC) or segments (TCP); Lost are those sent again.
	Sent uint64 `json:"sent"`
	Lost uint64 `json:"lost"`
	// Quiet: not heard from recently, new streams send the header alone.
	Quiet bool `json:"quiet,omitempty"`
}
