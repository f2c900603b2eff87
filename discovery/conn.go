package discovery

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/eastway/eastway/discovery/catalogpb"
)

// Conn carries whole messages of up to 256 KiB to and from one process, in order, reliably, until the link ends. One Send
// and one Receive may run at the same time; both return when their context ends.
type Conn interface {
	Send(ctx context.Context, msg []byte) error
	Receive(ctx context.Context) ([]byte, error)
}

// countedConn counts a peer's messages in both directions.
type countedConn struct {
	Conn

	metrics *exchangeMetrics
	peer    string
}

// Send implements Conn.
func (c *countedConn) Send(ctx context.Context, msg []byte) error {
	err := c.Conn.Send(ctx, msg)
	if err == nil {
		c.metrics.count(c.peer, directionSent, len(msg))
	}
	return err
}

// Receive implements Conn.
func (c *countedConn) Receive(ctx context.Context) ([]byte, error) {
	msg, err := c.Conn.Receive(ctx)
	if err == nil {
		c.metrics.count(c.peer, directionReceived, len(msg))
	}
	return msg, err
}

// bothWays runs the two directions of a link until either fails or ctx ends.
func bothWays(ctx context.Context, send, receive func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return send(ctx) })
	g.Go(func() error { return receive(ctx) })
	return g.Wait()
}

// receiveEach passes each message of a process of the own cluster to take, until conn or take fails. A process that sends more than the
// limits allow is read more slowly.
func receiveEach(ctx context.Context, conn Conn, take func(*catalogpb.Message) error) error {
	pace := rate.NewLimiter(messageRate, messageBurst)
	for {
		data, err := conn.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		m, err := decodeMessage(data)
		if err != nil {
			return err
		}
		if err := take(m); err != nil {
			return err
		}
	}
}

// sendDelta sends a change of one cluster's exports.
func sendDelta(ctx context.Context, conn Conn, cluster string, epoch uint64, d *delta) error {
	messages, err := encode(cluster, epoch, d)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	for _, m := range messages {
		if err := conn.Send(ctx, m); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}

// send sends any other message.
func send(ctx context.Context, conn Conn, m *catalogpb.Message) error {
	data, err := marshal(m)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := conn.Send(ctx, data); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// resyncMessage requests a snapshot.
func resyncMessage() *catalogpb.Message {
	return &catalogpb.Message{Message: &catalogpb.Message_Resync{Resync: &catalogpb.Resync{}}}
}
