package drill

import (
	"math"
	"time"
)

// Histogram counts durations in buckets that are a tenth wide. The zero value is empty.
type Histogram struct {
	// Counts of the buckets; those behind the last that has any are left out.
	Counts []uint64 `json:"counts,omitempty"`
	// Longest is exact.
	Longest time.Duration `json:"longest"`
}

func (h *Histogram) add(d time.Duration) {
	i := 0
	if d > shortest {
		i = min(int(math.Ceil(math.Log(float64(d)/float64(shortest))/math.Log(growth))), buckets-1)
	}
	h.grow(i + 1)
	h.Counts[i]++
	h.Longest = max(h.Longest, d)
}

func (h *Histogram) grow(n int) {
	for len(h.Counts) < n {
		h.Counts = append(h.Counts, 0)
	}
}

// Add adds what another one has counted. What does not fit, from a proxy of another release, counts in the last bucket.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.Counts {
		h.grow(min(i, buckets-1) + 1)
		h.Counts[min(i, buckets-1)] += n
	}
	h.Longest = max(h.Longest, o.Longest)
}

// Quantile is what the share q of the durations do not exceed, at most a tenth too long; 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	var total uint64
	for _, n := range h.Counts {
		total += n
	}
	rank := uint64(math.Ceil(q * float64(total)))
	for i, n := range h.Counts {
		if rank <= n && n > 0 {
			return min(time.Duration(float64(shortest)*math.Pow(growth, float64(i))), h.Longest)
		}
		rank -= min(n, rank)
	}
	return h.Longest
}
