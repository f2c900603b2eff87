package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// Credentials hands out TLS configurations and names the peer behind a
// finished handshake; certs.Authenticator implements it.
type Credentials interface {
	// ClientConfig accepts exactly that peer.
	ClientConfig(peer string) (*tls.Config, error)
	// ServerConfig accepts every peer that is trusted at the time of the handshake.
	ServerConfig() *tls.Config
	// PeerName is the peer whose SPIFFE ID the verified connection proved.
	PeerName(tls.ConnectionState) (string, error)
	// Lease is when another connection has to take this one's place, and when it has to end.
	Lease(tls.ConnectionState) (renew, end time.Time)
}

// Peer is where a peer's proxies accept tunnels. Without addresses it dials us.
type Peer struct {
	Name      string
	Addresses []string
	// PerReplica: each address is one replica's own, and its link ends with it. Else links that work outlive their address.
	PerReplica bool
}

// Header is what a stream carries before its first byte.
type Header = tunnelpb.Open

// Code says why a stream was refused.
type Code = tunnelpb.Answer_Code

// Errors of Open and of a stream's outcome.
var (
	// ErrUnknownPeer: no Peer of that name.
	ErrUnknownPeer = errors.New("tunnel: no such peer")
	// ErrNoLane: no lane to that peer can take a stream now; nothing was sent.
	ErrNoLane = errors.New("tunnel: no usable lane")
	// ErrFull: all usable lanes to that peer carry as many streams as they may; nothing was sent.
	ErrFull = errors.New("tunnel: all lanes are full")
	// ErrReset: the other end reset the stream, or it was cut off before its end record.
	ErrReset = errors.New("tunnel: stream reset")
)

// RefusedError is an answer: nothing was written to any endpoint.
type RefusedError struct {
	Code       Code
	Reason     string
	RetryAfter time.Duration
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("tunnel: refused by peer: %s: %s", e.CodeName(), e.Reason)
}

// CodeName is the code in lower case without its prefix, for logs and metrics: "unavailable".
func (e *RefusedError) CodeName() string { return codeName(e.Code) }

// LostError means that no answer came: the lane died first. Whether bytes that had been
// sent were used is unknown.
type LostError struct {
	// Sent is true when more than the header had been sent.
	Sent bool
	Err  error
}

func (e *LostError) Error() string {
	if e.Sent {
		return fmt.Sprintf("tunnel: lane lost after data was sent, outcome unknown: %v", e.Err)
	}
	return fmt.Sprintf("tunnel: lane lost before data was sent: %v", e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// StreamInfo describes a stream for logs.
type StreamInfo struct {
	Peer      string // cluster
	Replica   string // process of that cluster
	Lane      string // e.g. "tcp-2", "quic-1"
	Transport string // "tcp" or "quic"
}

// PeerState is what failover needs to know of a peer to order it.
type PeerState struct {
	// Usable: at least one lane takes new streams (connected, heard from, not draining).
	Usable bool
	// RTT is the smallest smoothed one of the usable lanes; 0 when not measured.
	RTT time.Duration
}

// MessageConn carries whole messages of another package to one replica of a peer, in order, reliably,
// until the link ends. One Send and one Receive may run at the same time.
type MessageConn interface {
	// Send blocks until the message is handed to the connection; at most wire.MaxMessage bytes.
	Send(ctx context.Context, msg []byte) error
	// Receive blocks for the next message.
	Receive(ctx context.Context) ([]byte, error)
}

// Link names one replica of a peer that this proxy has a tunnel to.
type Link struct {
	Peer    string
	Replica string
}

func codeName(c Code) string {
	return strings.ToLower(strings.TrimPrefix(c.String(), "CODE_"))
}
