package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/eastway/eastway/e2e/wan/link"
)

// maxLine bounds a line of input, in bytes.
const maxLine = 4096

// command is one line of input.
type command struct {
	verb       string           // set, show, quit, or empty for an empty line
	directions []link.Direction // of set
	words      []string         // of set: name=value
}

// parseCommand reads one line. The settings are checked against dummy ones
// only: whether they fit the present ones is known when they are applied.
func parseCommand(text string) (command, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return command{}, nil
	}
	c := command{verb: words[0]}
	switch c.verb {
	case "show", "quit":
		if len(words) > 1 {
			return command{}, fmt.Errorf("%s takes nothing behind it", c.verb)
		}
		return c, nil
	case "set":
		if len(words) < 3 {
			return command{}, errors.New("set needs a direction (a-b, b-a, both) and settings such as delay=50ms")
		}
		c.words = words[2:]
	default:
		return command{}, fmt.Errorf("no command %q; there are set, show and quit", c.verb)
	}
	switch words[1] {
	case link.AtoB.String():
		c.directions = []link.Direction{link.AtoB}
	case link.BtoA.String():
		c.directions = []link.Direction{link.BtoA}
	case "both":
		c.directions = []link.Direction{link.AtoB, link.BtoA}
	default:
		return command{}, fmt.Errorf("no direction %q; there are a-b, b-a and both", words[1])
	}
	return c, nil
}

// obey carries out one line of input, and reports whether it was the last one.
func obey(l *link.Link, text string, out io.Writer) (quit bool) {
	c, err := parseCommand(text)
	if err == nil {
		switch c.verb {
		case "":
			return false
		case "set":
			err = set(l, c)
		case "show":
			err = show(l, out)
		}
	}
	if err != nil {
		fmt.Fprintf(out, "error: %v\n", err)
		return false
	}
	fmt.Fprintln(out, "ok")
	return c.verb == "quit"
}

// set changes all directions or, when a setting is wrong for one, none.
func set(l *link.Link, c command) error {
	changed := make([]link.Settings, len(c.directions))
	for i, direction := range c.directions {
		s, err := link.ParseSettings(l.Settings(direction), c.words...)
		if err != nil {
			return err
		}
		changed[i] = s
	}
	for i, direction := range c.directions {
		if err := l.Set(direction, changed[i]); err != nil {
			return err
		}
	}
	return nil
}

// show prints the settings and counters.
func show(l *link.Link, out io.Writer) error {
	for _, d := range []link.Direction{link.AtoB, link.BtoA} {
		missed, err := l.Missed(d)
		if err != nil {
			return err
		}
		printDirection(out, d, l.Settings(d), l.Counters(d), missed)
	}
	return nil
}

func printDirection(out io.Writer, d link.Direction, s link.Settings, c link.Counters, missed uint64) {
	fmt.Fprintf(out, "%v %v\n", d, s)
	for _, line := range []struct {
		name  string
		count link.Count
	}{
		{"entered", c.Entered},
		{"delivered", c.Delivered},
		{"lost", c.Lost},
		{"queue dropped", c.QueueDropped},
		{"silenced", c.Silenced},
		{"undeliverable", c.Undeliverable},
		{"on the way", c.OnTheWay},
	} {
		fmt.Fprintf(out, "%v   %-13s %v\n", d, line.name, line.count)
	}
	fmt.Fprintf(out, "%v   missed before they entered: %d packets\n", d, missed)
}
