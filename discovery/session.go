package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/notify"
)

// session is the exchange over one link.
type session struct {
	exchange *Exchange
	link     Link
	conn     MessageConn
	end      context.CancelFunc
	ended    chan struct{}

	lost  atomic.Bool   // an update did not follow the last one: a snapshot is needed
	ask   notify.Signal // this side needs a snapshot
	asked notify.Signal // the peer needs a snapshot
}

// bothWays runs the two directions of a link until either fails or ctx ends.
func bothWays(ctx context.Context, send, receive func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return send(ctx) })
	g.Go(func() error { return receive(ctx) })
	return g.Wait()
}

// send tells the peer what changes, as soon as it does but not more often than every coalesce, and answers and asks
// for snapshots not more often than every resyncInterval.
func (s *session) send(ctx context.Context) error {
	var (
		told             uint64 // revision that the peer has been told
		pace             = rate.NewLimiter(rate.Every(coalesce), 1)
		asking           = rate.NewLimiter(rate.Every(resyncInterval), 1)
		answering        = rate.NewLimiter(rate.Every(resyncInterval), 1)
		ask, asked       = s.ask, s.asked
		askNow, tellAnew <-chan time.Time
	)
	for {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		news, ok, more := s.exchange.cfg.Catalog.tell(told)
		if ok {
			if err := s.tell(ctx, &news); err != nil {
				return err
			}
			told = news.revision
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		case <-asked:
			asked, tellAnew = nil, time.After(answering.Reserve().Delay())
		case <-tellAnew:
			asked, tellAnew, told = s.asked, nil, 0
			s.asked.Clear()
		case <-ask:
			ask, askNow = nil, time.After(asking.Reserve().Delay())
		case <-askNow:
			ask, askNow = s.ask, nil
			s.ask.Clear()
			if err := s.resync(ctx); err != nil {
				return err
			}
		}
	}
}

func (s *session) tell(ctx context.Context, news *telling) error {
	messages, err := encode(s.exchange.cfg.Cluster, s.exchange.cfg.Epoch, news)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	for _, m := range messages {
		if err := s.put(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// resync asks for a snapshot, unless one has come meanwhile.
func (s *session) resync(ctx context.Context) error {
	if !s.lost.Load() {
		return nil
	}
	m, err := encodeResync()
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	s.exchange.metrics.resyncs.WithLabelValues(s.link.Peer).Inc()
	s.exchange.log.Warn("updates of the peer's catalog do not follow each other, asking for a snapshot",
		zap.String("peer", s.link.Peer), zap.String("replica", s.link.Replica))
	return s.put(ctx, m)
}

func (s *session) put(ctx context.Context, m []byte) error {
	if err := s.conn.Send(ctx, m); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	s.exchange.metrics.count(s.link.Peer, directionSent, len(m))
	return nil
}

// receive takes in what the peer tells. A peer that tells more than the limits allow is read more slowly.
func (s *session) receive(ctx context.Context) error {
	messages := rate.NewLimiter(messageRate, messageBurst)
	applies := rate.NewLimiter(applyRate, applyBurst)
	a := &assembler{peer: s.link.Peer}
	for {
		data, err := s.conn.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		s.exchange.metrics.count(s.link.Peer, directionReceived, len(data))
		if err := messages.Wait(ctx); err != nil {
			return err
		}
		m, err := decodeMessage(data)
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *catalogpb.Message_Resync:
			s.asked.Notify()
		case *catalogpb.Message_Update:
			u, done, err := a.take(m.Update)
			if err != nil {
				return err
			}
			if !done {
				continue
			}
			if err := applies.Wait(ctx); err != nil {
				return err
			}
			if err := s.apply(u); err != nil {
				return err
			}
		default: // of a newer release
		}
	}
}

func (s *session) apply(u Update) error {
	err := s.exchange.cfg.Catalog.UpdateRemote(s.link, u)
	switch {
	case errors.Is(err, ErrGap):
		s.lost.Store(true)
		s.ask.Notify()
		return nil
	case err != nil:
		return err
	}
	s.lost.Store(false)
	return nil
}
