package http

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/failover/dial"
)

// leftStream counts how often it was given up.
type leftStream struct {
	dial.Stream
	resets int
}

func (*leftStream) CloseWrite() error { return nil }
func (s *leftStream) Reset(string)    { s.resets++ }

// TestCloseGivesStreamsUp: what waits for the other side ends with the handler, not a while later.
func TestCloseGivesStreamsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l leaving
		first, second := &leftStream{}, &leftStream{}
		for _, s := range []*leftStream{first, second} {
			l.leave(streamConn{s})
		}
		l.close()
		if first.resets != 1 || second.resets != 1 {
			t.Errorf("given up %d and %d times", first.resets, second.resets)
		}
		<-time.After(2 * leaveTime)
		if first.resets != 1 {
			t.Error("a timer was left")
		}
	})
}
