package transport

import (
	"context"
	"crypto/tls"
	"net"
)

// turnConn is a connection of which a handshake reads and writes. It has a turn from what it has read until it reads or writes again:
// that is when the handshake computes.
type turnConn struct {
	net.Conn
	ctx   context.Context //nolint:containedctx // the handshake's, which crypto/tls does not pass to Read
	place Place           // nil once the handshake is over
	heard bool            // a byte has come
}

func (c *turnConn) Read(p []byte) (int, error) {
	if c.place == nil {
		return c.Conn.Read(p)
	}
	c.place.Yield()
	n, err := c.Conn.Read(p)
	c.heard = c.heard || n > 0
	if err == nil {
		err = c.place.Turn(c.ctx)
	}
	return n, err
}

func (c *turnConn) Write(p []byte) (int, error) {
	if c.place != nil {
		c.place.Yield()
	}
	return c.Conn.Write(p)
}

// end is called after the handshake, before anything else reads or writes.
func (c *turnConn) end() {
	c.place.Yield()
	c.place, c.ctx = nil, nil
}

// verifyInTurn makes a server's configuration for QUIC verify clients in turns of their own.
func verifyInTurn(cfg *tls.Config) *tls.Config {
	verifying := cfg.Clone()
	verifying.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		h, ok := hello.Context().Value(quicKey{}).(*quicHandshake)
		if !ok || cfg.VerifyConnection == nil {
			return nil, nil //nolint:nilnil // crypto/tls: the configuration stays
		}
		ctx, c := hello.Context(), cfg.Clone()
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			if err := h.place.Turn(ctx); err != nil {
				return err
			}
			defer h.place.Yield()
			return cfg.VerifyConnection(cs)
		}
		return c, nil
	}
	return verifying
}
