package link

import (
	"math/rand/v2"
	"time"
)

// wander is the random part of a delay: it goes steadily from one random value
// to the next.
//
// A value drawn for each packet would be no jitter at all on a busy line: a
// packet may not overtake those before it, so all of them would take as long
// as the slowest one nearby.
type wander struct {
	rand     *rand.Rand
	start    time.Duration // when the delay was at from
	from, to float64       // -1 … 1 times the jitter
}

// at is the offset at the given time, which never goes back: -jitter … +jitter.
func (w *wander) at(now, jitter time.Duration) time.Duration {
	if jitter <= 0 {
		return 0
	}
	period := jitterPeriod * jitter
	if past := now - w.start; past >= period {
		w.start = now - past%period
		w.from = w.to
		if past >= 2*period {
			w.from = w.draw()
		}
		w.to = w.draw()
	}
	progress := float64(now-w.start) / float64(period)
	return time.Duration(float64(jitter) * (w.from + (w.to-w.from)*progress))
}

func (w *wander) draw() float64 { return 2*w.rand.Float64() - 1 }
