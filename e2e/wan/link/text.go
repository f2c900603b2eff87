package link

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// unit is a suffix of a number, and what it stands for.
type unit struct {
	suffix string
	factor float64
}

// rateUnits and byteUnits, longest suffix first.
func rateUnits() []unit {
	return []unit{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}
}

func byteUnits() []unit {
	return []unit{{"mb", 1e6}, {"kb", 1e3}, {"b", 1}}
}

// ParseSettings changes base as the words say, each of the form name=value:
//
//	delay=50ms jitter=2ms loss=0.1% rate=300mbit queue=100ms silent=off
//
// Rates are in bit, kbit, mbit or gbit (per second) or "unlimited"; a queue is
// a time, or bytes in b, kb or mb, or "default". What no word names stays as
// it is. The result is valid.
func ParseSettings(base Settings, words ...string) (Settings, error) {
	s := base
	for _, word := range words {
		name, value, found := strings.Cut(word, "=")
		if !found {
			return base, fmt.Errorf("link: setting %q is not of the form name=value", word)
		}
		if err := s.set(name, value); err != nil {
			return base, fmt.Errorf("link: setting %s=%q: %w", name, value, err)
		}
	}
	if err := s.Validate(); err != nil {
		return base, err
	}
	return s, nil
}

func (s *Settings) set(name, value string) (err error) {
	switch name {
	case "delay":
		s.Delay, err = time.ParseDuration(value)
	case "jitter":
		s.Jitter, err = time.ParseDuration(value)
	case "loss":
		s.Loss, err = parsePercent(value)
	case "rate":
		s.Rate, err = parseRate(value)
	case "queue":
		s.QueueTime, s.QueueBytes, err = parseQueue(value)
	case "silent":
		s.Silent, err = parseSwitch(value)
	default:
		err = errors.New("no such setting; there are delay, jitter, loss, rate, queue and silent")
	}
	return err
}

func parsePercent(value string) (float64, error) {
	digits, found := strings.CutSuffix(value, "%")
	if !found {
		return 0, errors.New("must be a percentage such as 0.1%")
	}
	percent, err := strconv.ParseFloat(digits, 64)
	return percent / 100, err
}

func parseRate(value string) (int64, error) {
	if value == "unlimited" {
		return 0, nil
	}
	rate, err := parseUnits(value, rateUnits())
	if err == nil && rate == 0 {
		err = errors.New("for no limit say unlimited, for nothing at all silent=on")
	}
	return rate, err
}

func parseQueue(value string) (time.Duration, int64, error) {
	if value == "default" {
		return 0, 0, nil
	}
	if length, err := time.ParseDuration(value); err == nil {
		if length == 0 {
			return 0, 0, errors.New("a queue holds at least one packet: the smallest is 1b")
		}
		return length, 0, nil
	}
	bytes, err := parseUnits(value, byteUnits())
	if err == nil && bytes == 0 {
		err = errors.New("a queue holds at least one packet: the smallest is 1b")
	}
	return 0, bytes, err
}

func parseSwitch(value string) (bool, error) {
	switch value {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, errors.New("must be on or off")
}

// parseUnits reads a number with one of the units behind it.
func parseUnits(value string, units []unit) (int64, error) {
	for _, u := range units {
		digits, found := strings.CutSuffix(value, u.suffix)
		if !found {
			continue
		}
		number, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return 0, err
		}
		// Beyond what is allowed anyway; also keeps the conversion defined.
		if product := number * u.factor; product >= 0 && product <= MaxRate {
			return int64(product), nil
		}
		return 0, errors.New("out of range")
	}
	return 0, fmt.Errorf("must end in a unit (%s … %s)", units[len(units)-1].suffix, units[0].suffix)
}

// String is what ParseSettings reads.
func (s Settings) String() string {
	rate, queue, silent := "unlimited", "default", "off"
	if s.Rate != 0 {
		rate = formatUnits(s.Rate, rateUnits())
	}
	switch {
	case s.QueueBytes != 0:
		queue = formatUnits(s.QueueBytes, byteUnits())
	case s.QueueTime != 0:
		queue = s.QueueTime.String()
	}
	if s.Silent {
		silent = "on"
	}
	loss := strconv.FormatFloat(s.Loss*100, 'g', 6, 64)
	return fmt.Sprintf("delay=%v jitter=%v loss=%s%% rate=%s queue=%s silent=%s", s.Delay, s.Jitter, loss, rate, queue, silent)
}

// formatUnits uses the largest unit of which n is a multiple.
func formatUnits(n int64, units []unit) string {
	for _, u := range units {
		if factor := int64(u.factor); n%factor == 0 {
			return strconv.FormatInt(n/factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}
