package terminal

import (
	"fmt"
	"strconv"
	"time"
)

// None stands for what is not there.
const None = "-"

// RTT is in milliseconds with two decimals below 10 ms, else one; "-" when
// not measured.
func RTT(d time.Duration) string {
	if d <= 0 {
		return None
	}
	decimals := 1
	if d < 10*time.Millisecond {
		decimals = 2
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', decimals, 64) + "ms"
}

// Age keeps the two largest units: 42s, 3m12s, 5h3m, 2d7h.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0s" // the proxy's clock is ahead of ours
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}

// Loss is the share of packets that were sent again, in percent.
func Loss(sent, lost uint64) string {
	if sent == 0 {
		return None
	}
	return strconv.FormatFloat(100*float64(lost)/float64(sent), 'f', 2, 64)
}

// YesNo is yes or no.
func YesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
