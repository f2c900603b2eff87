package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// mark is the byte order mark.
const mark = "\ufeff"

// decodeText returns a text as UTF-8 without byte order marks. YAML may be UTF-16, which PowerShell's ">" writes, and its
// documents may each begin with a mark, as in files that were joined.
func decodeText(data []byte) []byte {
	if order := utf16Order(data); order != nil {
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = order.Uint16(data[2*i:])
		}
		data = []byte(string(utf16.Decode(units)))
	}
	data = bytes.TrimPrefix(data, []byte(mark))
	return bytes.ReplaceAll(data, []byte("\n"+mark), []byte("\n"))
}

// utf16Order is the byte order of a text in UTF-16, nil for all others. Without a mark, one half of the first character,
// which is ASCII in YAML, is zero.
func utf16Order(data []byte) binary.ByteOrder {
	if len(data) < 2 || len(data)%2 != 0 {
		return nil
	}
	switch a, b := data[0], data[1]; {
	case a == 0xff && b == 0xfe, a != 0 && b == 0:
		return binary.LittleEndian
	case a == 0xfe && b == 0xff, a == 0 && b != 0:
		return binary.BigEndian
	}
	return nil
}

// checkText returns an error with the line of the first character that a document must not have.
func (p part) checkText() error {
	for at := 0; at < len(p.text); {
		r, size := utf8.DecodeRune(p.text[at:])
		if err := checkRune(r, p.text[at:at+size]); err != nil {
			return &Error{Line: p.line + bytes.Count(p.text[:at], []byte("\n")), err: err}
		}
		at += size
	}
	return nil
}

func checkRune(r rune, text []byte) error {
	switch {
	case r == utf8.RuneError && len(text) == 1:
		return fmt.Errorf("byte 0x%02X is not UTF-8: save the file as UTF-8", text)
	case r == 0:
		return errors.New("a NUL byte is not text: save the file as UTF-8")
	case r == '\t', r == '\n', r == '\r', r == '\u0085':
	case unicode.IsControl(r):
		return fmt.Errorf("control character %U is not allowed in YAML: remove it, or write it as an escape in double quotes", r)
	}
	return nil
}
