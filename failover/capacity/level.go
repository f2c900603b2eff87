package capacity

import "math"

// Level is one place, or the endpoints of the own cluster that are equally near together. The zero Level has no bound.
type Level struct {
	// InFlight are the calls of this proxy.
	InFlight float64
	// Bounded: the two below bound them.
	Bounded bool
	// Grown is how many may be in flight before other levels get some, Declared before more are refused; those of all proxies together.
	Grown, Declared float64
	// Closed: it has refused a call just now, and gets Most, or what Grown allows.
	Closed bool
	Most   float64
}

// Add adds a place. One without a bound takes it from all.
func (l *Level) Add(o Level) {
	l.InFlight += o.InFlight
	l.Bounded = l.Bounded && o.Bounded
	l.Grown += o.Grown
	l.Declared += o.Declared
}

// IsFull is true where one more call would be more than the share of one of so many proxies: the next level gets it.
func (l *Level) IsFull(proxies int) bool { return l.Bounded && l.InFlight+1 > Share(l.Grown, proxies) }

// IsFullAlone is IsFull for one of the endpoints of a level, of which the shares are small.
func (l *Level) IsFullAlone(proxies int) bool {
	return l.Bounded && l.InFlight+1 > Most(l.Grown, proxies)
}

// IsOver is true where it would be more than its share of what is declared: it is refused if nothing else takes it.
func (l *Level) IsOver(proxies int) bool {
	return l.Bounded && l.InFlight+1 > Most(l.Declared, proxies)
}

// IsClosed is true where one more call would be more than its share of what a place takes that has refused some just now.
func (l *Level) IsClosed(proxies int) bool {
	return l.Closed && l.IsFull(proxies) && l.InFlight+1 > Share(l.Most, proxies)
}

// Share is the part of one of so many proxies, at least one call.
func Share(of float64, proxies int) float64 { return max(of/float64(max(proxies, 1)), 1) }

// Most is that part in whole calls, rounded up, so that all parts together are no less than the whole.
func Most(of float64, proxies int) float64 { return math.Ceil(Share(math.Floor(of), proxies)) }
