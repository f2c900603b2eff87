package serve

import "time"

// bodyPace judges how slowly a request's body arrives. Only the time that is spent waiting for the client counts, not that of a
// backend which reads slowly. The zero value is at the start of a body.
type bodyPace struct {
	got    int64
	waited time.Duration
	// streams: the body may stand still for as long as its bytes make up for, as messages of gRPC do.
	streams bool
}

// patience is how long the next read may take; 0: any time. It may be negative.
func (p *bodyPace) patience() time.Duration {
	if p.streams {
		return 0
	}
	left := bodyGrace + time.Duration(p.got/bodyRate)*time.Second - p.waited
	if left <= 0 {
		return -1
	}
	return min(bodyIdle, left)
}

// read is called after a read that took so long.
func (p *bodyPace) read(n int, took time.Duration) {
	p.got += int64(n)
	p.waited += took
}
