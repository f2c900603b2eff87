package tunnel

import "time"

// PeerStatus is one peer as `eastway status` shows it.
type PeerStatus struct {
	Peer string `json:"peer"`
	// State is "connected", "suspect" (silent), "draining" or "disconnected".
	State string `json:"state"`
	// LastError says in plain words why the newest attempt to connect failed; empty once connected.
	LastError string       `json:"lastError,omitempty"`
	Links     []LinkStatus `json:"links"`
}

// LinkStatus is one replica of a peer.
type LinkStatus struct {
	Replica string `json:"replica"`
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Version string `json:"version,omitempty"`
	// State is as in PeerStatus.
	State string `json:"state"`
	// Dialed is true when this side dialled.
	Dialed bool `json:"dialed"`
	// Control is the transport of the control connection, "" while there is none.
	Control string `json:"control"`
	// RTT is the smoothed round trip of control pings.
	RTT   time.Duration `json:"rttNanos"`
	Age   time.Duration `json:"ageNanos"`
	Heard time.Duration `json:"heardNanos"` // since the last inbound byte
	Lanes []LaneStatus  `json:"lanes"`
}

// LaneStatus is one connection of a link.
type LaneStatus struct {
	Name              string        `json:"name"`
	Transport         string        `json:"transport"` // "tcp" or "quic"
	Role              string        `json:"role"`      // "control" or "lane"
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
