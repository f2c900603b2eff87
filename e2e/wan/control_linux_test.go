package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/e2e/wan/link"
)

func TestParseCommand(t *testing.T) {
	t.Parallel()
	both := []link.Direction{link.AtoB, link.BtoA}
	for text, want := range map[string]command{
		"":                          {},
		"  ":                        {},
		"show":                      {verb: "show"},
		" quit ":                    {verb: "quit"},
		"set a-b delay=1s":          {"set", both[:1], []string{"delay=1s"}},
		"set b-a delay=1s loss=1%":  {"set", both[1:], []string{"delay=1s", "loss=1%"}},
		"set both silent=on":        {"set", both, []string{"silent=on"}},
		"set both nonsense=1 more=": {"set", both, []string{"nonsense=1", "more="}}, // for ParseSettings to refuse
	} {
		got, err := parseCommand(text)
		if err != nil || got.verb != want.verb || !slices.Equal(got.directions, want.directions) || !slices.Equal(got.words, want.words) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, complaint := range map[string]string{
		"stop":             "no command",
		"show all":         "nothing behind it",
		"set":              "needs a direction",
		"set a-b":          "needs a direction",
		"set c-d delay=1s": "no direction",
		"set delay=1s x=y": "no direction",
	} {
		if got, err := parseCommand(text); err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%q: %+v, error %v; want %q", text, got, err, complaint)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{"", "show", "quit", "set both delay=50ms loss=0.1%", "set a-b", "set b-a silent=on"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCommand(text)
		if err != nil {
			return
		}
		if complete := len(c.directions) > 0 && len(c.words) > 0; complete != (c.verb == "set") {
			t.Errorf("%q: %+v", text, c)
		}
	})
}

// What scripts read.
func TestPrintDirection(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	printDirection(&out, link.BtoA, link.Settings{Delay: 50 * time.Millisecond, Loss: 0.01, Rate: 300e6}, link.Counters{
		Entered: link.Count{Packets: 21, Bytes: 2100}, Delivered: link.Count{Packets: 1, Bytes: 100}, Lost: link.Count{Packets: 2, Bytes: 200},
		QueueDropped: link.Count{Packets: 3, Bytes: 300}, Silenced: link.Count{Packets: 4, Bytes: 400},
		Undeliverable: link.Count{Packets: 5, Bytes: 500}, OnTheWay: link.Count{Packets: 6, Bytes: 600},
	}, 7)
	const want = `b-a delay=50ms jitter=0s loss=1% rate=300mbit queue=default silent=off
b-a   entered       21 packets, 2100 bytes
b-a   delivered     1 packets, 100 bytes
b-a   lost          2 packets, 200 bytes
b-a   queue dropped 3 packets, 300 bytes
b-a   silenced      4 packets, 400 bytes
b-a   undeliverable 5 packets, 500 bytes
b-a   on the way    6 packets, 600 bytes
b-a   missed before they entered: 7 packets
`
	if got := out.String(); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

func TestParseOptions(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	got, err := parseOptions([]string{
		"-a", "east", "-address-a", "10.0.0.1/24", "-route-b", "10.1.0.0/16,fd00::/8", "-device", "wan7", "-mtu", "1400",
		"delay=50ms", "rate=10mbit",
	}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	want := link.Settings{Delay: 50 * time.Millisecond, Rate: 10e6}
	if got.AtoB != want || got.BtoA != want || got.A.Namespace != "east" || got.B.Namespace != "" || got.MTU != 1400 ||
		got.A.Device != "wan7" || got.B.Device != "wan7" {
		t.Errorf("%+v", got)
	}
	for want, got := range map[string]prefixes{
		"10.0.0.1/24":          {&got.A.Addresses},
		defaultAddressesB:      {&got.B.Addresses},
		"":                     {&got.A.Routes},
		"10.1.0.0/16,fd00::/8": {&got.B.Routes},
	} {
		if got.String() != want {
			t.Errorf("prefixes %q, want %q", got, want)
		}
	}
	for _, args := range [][]string{
		{"-address-a", "10.0.0.1"}, {"-mtu", "70000"}, {"-device", "a-name-that-is-too-long"}, {"delay"}, {"rate=1"}, {"-nonsense"},
	} {
		if c, err := parseOptions(args, &stderr); err == nil {
			t.Errorf("%q: no error, %+v", args, c)
		}
	}
}
