package link

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseSettings(t *testing.T) {
	t.Parallel()
	base := Settings{Delay: 20 * time.Millisecond, Rate: 1e6, QueueTime: time.Second}
	for text, want := range map[string]Settings{
		"":                             base,
		"delay=50ms jitter=2ms":        {Delay: 50 * time.Millisecond, Jitter: 2 * time.Millisecond, Rate: 1e6, QueueTime: time.Second},
		"loss=0.1%":                    {Delay: base.Delay, Loss: 0.001, Rate: 1e6, QueueTime: time.Second},
		"rate=300mbit":                 {Delay: base.Delay, Rate: 300e6, QueueTime: time.Second},
		"rate=1.5gbit queue=64kb":      {Delay: base.Delay, Rate: 1.5e9, QueueBytes: 64_000},
		"rate=unlimited queue=default": {Delay: base.Delay},
		"rate=9600bit queue=1500b":     {Delay: base.Delay, Rate: 9600, QueueBytes: 1500},
		"silent=on silent=off":         base,
		"silent=on delay=0s":           {Rate: 1e6, QueueTime: time.Second, Silent: true},
	} {
		if got, err := ParseSettings(base, strings.Fields(text)...); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, complaint := range map[string]string{
		"delay":                 "name=value",
		"delay=fast":            "delay",
		"delay=-1s":             "Settings.Delay",
		"delay=2m":              "Settings.Delay",
		"jitter=21ms":           "Settings.Jitter",
		"loss=0.1":              "percentage",
		"loss=101%":             "Settings.Loss",
		"loss=NaN%":             "Settings.Loss",
		"rate=300":              "unit",
		"rate=0bit":             "unlimited",
		"rate=7999bit":          "Settings.Rate",
		"rate=101gbit":          "out of range",
		"rate=NaNmbit":          "out of range",
		"rate=-1mbit":           "out of range",
		"queue=10":              "unit",
		"queue=0s":              "at least one packet",
		"queue=0b":              "at least one packet",
		"queue=2000mb":          "Settings.QueueBytes",
		"silent=yes":            "on or off",
		"bandwidth=1mbit":       "no such setting",
		"delay=50ms loss=maybe": "loss",
	} {
		got, err := ParseSettings(base, strings.Fields(text)...)
		if err == nil || !strings.Contains(err.Error(), complaint) || got != base {
			t.Errorf("%q: %+v, error %v; want %q and nothing changed", text, got, err, complaint)
		}
	}
}

func TestSettingsValidate(t *testing.T) {
	t.Parallel()
	err := Settings{QueueTime: 1, QueueBytes: 1}.Validate()
	if err == nil || !strings.Contains(err.Error(), "QueueTime") {
		t.Errorf("both queue lengths: %v", err)
	}
	if err := (Settings{}).Validate(); err != nil {
		t.Errorf("zero value: %v", err)
	}
}

func TestSettingsString(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Settings{
		"delay=0s jitter=0s loss=0% rate=unlimited queue=default silent=off": {},
		"delay=50ms jitter=1.5ms loss=0.1% rate=300mbit queue=100ms silent=on": {
			Delay: 50 * time.Millisecond, Jitter: 1500 * time.Microsecond, Loss: 0.001, Rate: 300e6, QueueTime: 100 * time.Millisecond, Silent: true,
		},
		"delay=0s jitter=0s loss=100% rate=8001bit queue=64kb silent=off": {Loss: 1, Rate: 8001, QueueBytes: 64000},
	} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzParseSettings(f *testing.F) {
	for _, seed := range []string{
		"delay=50ms jitter=2ms loss=0.1% rate=300mbit queue=100ms silent=off",
		"rate=1.5gbit queue=64kb", "rate=unlimited queue=default", "queue=1b loss=100%", "rate=1e3kbit", "=", "delay=1m1ns",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSettings(Settings{}, strings.Fields(text)...)
		if err != nil {
			return
		}
		if err := s.Validate(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := ParseSettings(Settings{}, strings.Fields(s.String())...)
		if err != nil {
			t.Fatalf("%q is printed as %q: %v", text, s, err)
		}
		if math.Abs(again.Loss-s.Loss) > 1e-5*s.Loss { // printed with six digits
			t.Fatalf("loss %v is printed as %q", s.Loss, s)
		}
		again.Loss = s.Loss
		if again != s {
			t.Fatalf("%+v is printed as %q, which is %+v", s, s, again)
		}
	})
}
