package tunnel

import (
	"errors"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TestRefusalBehindStopSending: over QUIC the packet that says "send no more" may arrive long before the one with the refusal.
// The refusal counts: nothing was written to any endpoint.
func TestRefusalBehindStopSending(t *testing.T) {
	t.Parallel()
	refuse := make(chan struct{})
	p := newPair(t, withTransport("quic"), withHandler(func(in *Incoming) {
		in.stream.raw.(interface {
			CancelRead(code quic.StreamErrorCode)
		}).CancelRead(1)
		select {
		case <-refuse:
		case <-in.Context().Done():
		}
		_ = in.Refuse(tunnelpb.Answer_CODE_UNAVAILABLE, "no endpoint", 0)
	}))
	s := p.open(t)
	var err error
	for err == nil {
		_, err = s.Write(make([]byte, 16<<10))
	}
	s.mu.Lock()
	if s.reset != nil {
		t.Errorf("given up before its answer: %v", s.reset)
	}
	s.mu.Unlock()
	close(refuse)
	<-s.Answered()
	if _, ok := errors.AsType[*RefusedError](s.Outcome()); !ok {
		t.Errorf("the peer refused, the outcome is %v", s.Outcome())
	}
}
