package httpserve

import "time"

// budget bounds the part of one core that work may take: what it has taken is paid back over time. The zero value has all its
// burst. It is fed with times.
type budget struct {
	share int           // one part in so many
	burst time.Duration // of work that may be done at once
	debt  time.Duration // work done and not paid back; 0 at the least
	paid  time.Time     // when debt was last reduced
}

// affords is true while more work may begin.
func (b *budget) affords(now time.Time) bool {
	if passed := now.Sub(b.paid); passed > 0 {
		b.debt, b.paid = max(b.debt-passed/time.Duration(b.share), 0), now
	}
	return b.debt < b.burst
}

// spend adds work that took so long.
func (b *budget) spend(took time.Duration) { b.debt += took }
