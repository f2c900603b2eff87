package dial

import (
	"errors"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/tunnel"
)

// Conclusion is what came of a connection that was Pending.
type Conclusion struct {
	balance.Outcome
	// Elsewhere: another replica of the same peer may take the connection.
	Elsewhere bool
}

// Conclude counts the answer to a connection that was Pending, and returns what it means for the candidate. It is called once, when
// the answer is there or the connection has failed.
func (d *Dialer) Conclude(c *Conn) Conclusion {
	select {
	case <-c.Stream.Answered():
	default:
		d.cfg.Attempted(c.Address, resultAbandoned)
		return Conclusion{}
	}
	err := c.Stream.Outcome()
	if err == nil {
		d.cfg.Attempted(c.Address, Accepted)
		c.Use.Accepted()
		return Conclusion{}
	}
	v := judge(c.Address, err)
	d.cfg.Attempted(c.Address, v.result)
	return Conclusion{Outcome: v.Outcome, Elsewhere: v.elsewhere}
}

// Unused is true when nothing that was written to s can have been used: it was refused, or lost with nothing but its header sent.
func Unused(s Stream) bool {
	select {
	case <-s.Answered():
	default:
		return false
	}
	var refused *tunnel.RefusedError
	var lost *tunnel.LostError
	err := s.Outcome()
	return errors.As(err, &refused) || errors.As(err, &lost) && !lost.Sent
}
