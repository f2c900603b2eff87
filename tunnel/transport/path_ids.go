package transport

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"

	"github.com/quic-go/quic-go"
)

const (
	// connIDSize is the length of our QUIC connection IDs in bytes, quic-go's own: a socket has one connection only.
	connIDSize = 4
	// maxConnIDs is how many of them are remembered; a peer may hold six at a time.
	maxConnIDs = 16
)

// connIDs makes a dialed connection's IDs, by which a datagram that comes to a new socket shows that it is the connection's:
// other senders do not know them, nor does another replica of the peer.
type connIDs struct {
	mu     sync.Mutex
	issued []quic.ConnectionID // the newest
}

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (c *connIDs) GenerateConnectionID() (quic.ConnectionID, error) {
	var b [connIDSize]byte
	if _, err := rand.Read(b[:]); err != nil {
		return quic.ConnectionID{}, fmt.Errorf("make a QUIC connection ID: %w", err)
	}
	id := quic.ConnectionIDFromBytes(b[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.issued) == maxConnIDs {
		c.issued = slices.Delete(c.issued, 0, 1)
	}
	c.issued = append(c.issued, id)
	return id, nil
}

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (c *connIDs) ConnectionIDLen() int { return connIDSize }

// meant reports whether a datagram is one of the connection's after its handshake (RFC 9000, 17.3.1).
func (c *connIDs) meant(datagram []byte) bool {
	const form, short = 0xc0, 0x40 // of the first byte
	if len(datagram) <= connIDSize || datagram[0]&form != short {
		return false
	}
	id := quic.ConnectionIDFromBytes(datagram[1 : 1+connIDSize])
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.issued, id)
}
