package tunnel

import (
	"context"
	"fmt"
	"io"

	"go.uber.org/zap"

	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// messageChannel names the one channel that there is; its stream is opened by the connection's dialer.
const messageChannel = "messages"

// takeChannel hands a channel's stream to whom waits for it.
func (c *conn) takeChannel(name string, raw transport.Stream) bool {
	if name != messageChannel {
		return false
	}
	select {
	case c.messages <- raw:
		return true
	default:
		return false // a second one
	}
}

// runMessages opens or awaits the message channel of a control connection and runs the callback on it.
func (l *link) runMessages(ctx context.Context, c *conn) {
	if l.node.cfg.Messages == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.wg.Go(func() {
		select {
		case <-c.sess.Done():
			cancel()
		case <-ctx.Done():
		}
	})
	raw, err := l.messageStream(ctx, c)
	if err != nil {
		if ctx.Err() == nil {
			c.fail("open the message channel: " + err.Error())
		}
		return
	}
	defer raw.Abort(false)
	err = l.node.cfg.Messages(ctx, Link{Peer: l.peer, Replica: l.replica}, &messageConn{raw: raw})
	if err != nil && ctx.Err() == nil && !c.ended() {
		l.node.log.Warn("message exchange ended", zap.String("peer", l.peer), zap.String("replica", l.replica), zap.Error(err))
	}
}

func (l *link) messageStream(ctx context.Context, c *conn) (transport.Stream, error) {
	if l.dialed {
		raw, err := c.sess.Open()
		if err != nil {
			return nil, err
		}
		return raw, wire.Write(raw, wire.Open, &tunnelpb.Open{Channel: messageChannel})
	}
	select {
	case raw := <-c.messages:
		return raw, nil
	case <-ctx.Done():
		return nil, errNoChannel
	}
}

// messageConn frames messages on one stream. A call whose ctx ends leaves half a message behind, so it ends the channel.
type messageConn struct{ raw transport.Stream }

func (m *messageConn) abort() { m.raw.Abort(true) }

func (m *messageConn) Send(ctx context.Context, msg []byte) error {
	if len(msg) > wire.MaxMessage {
		return fmt.Errorf("tunnel: message of %d bytes, at most %d fit", len(msg), wire.MaxMessage)
	}
	defer context.AfterFunc(ctx, m.abort)()
	b := make([]byte, wire.HeaderSize+len(msg))
	wire.PutHeader(b, wire.Message, len(msg))
	copy(b[wire.HeaderSize:], msg)
	if _, err := m.raw.Write(b); err != nil {
		return fmt.Errorf("tunnel: send message: %w", err)
	}
	return nil
}

func (m *messageConn) Receive(ctx context.Context) ([]byte, error) {
	defer context.AfterFunc(ctx, m.abort)()
	t, n, err := wire.ReadHeader(m.raw)
	if err != nil {
		return nil, fmt.Errorf("tunnel: receive message: %w", err)
	}
	if t != wire.Message {
		return nil, fmt.Errorf("%w: type %d on a message channel", wire.ErrRecord, t)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(m.raw, b); err != nil {
		return nil, fmt.Errorf("tunnel: receive message: %w", err)
	}
	return b, nil
}
