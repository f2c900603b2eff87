package clip

import (
	"strings"
	"unicode"
)

// Short is enough for one value of another side, such as a name, in bytes.
const Short = 100

// more is at the end of a text that was clipped.
const more = "…"

// Text is at most that many bytes of s, … included if there was more, so that clipping it again changes nothing. What moves a cursor,
// ends a line or turns text around is a space.
func Text(s string, most int) string {
	cut := len(s) > most
	if cut {
		s = s[:max(most-len(more), 0)] // before anything is spent on it
	} else if isPlain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if cut {
		s = strings.TrimSuffix(s, "?") // half a character
		s += more
	}
	return s
}

// isPlain: it is printable ASCII, as nearly all is.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Name is Text for one value.
func Name(s string) string { return Text(s, Short) }

// Error bounds the text of err, which errors.Is and errors.As still see whole.
func Error(err error, most int) error {
	if err == nil {
		return nil
	}
	whole := err.Error()
	text := Text(whole, most)
	if text == whole {
		return err
	}
	return &clipped{text, err}
}

type clipped struct {
	text string
	err  error
}

func (c *clipped) Error() string { return c.text }
func (c *clipped) Unwrap() error { return c.err }
