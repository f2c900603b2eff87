package h1

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// isToken: RFC 9110 section 5.6.2.
func isToken(c byte) bool {
	const mask = 0 |
		(1<<10-1)<<'0' | (1<<26-1)<<'a' | (1<<26-1)<<'A' |
		1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.' | 1<<'^' | 1<<'_' | 1<<'`' | 1<<'|' | 1<<'~'
	return (uint64(1)<<c)&(mask&(1<<64-1))|(uint64(1)<<(c-64))&(mask>>64) != 0 // a shift by 64 or more gives 0
}

// tokenLength is how many bytes at the start are those of a token.
func tokenLength(b []byte) int {
	for i, c := range b {
		if !isToken(c) {
			return i
		}
	}
	return len(b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// hexValue is the value of a hexadecimal digit.
func hexValue(c byte) (value byte, ok bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isControl: a byte that no line may contain.
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// indexControl is where the first such byte is, or -1.
func indexControl(b []byte) int {
	const ones = 0x0101010101010101
	i := 0
	for ; i+8 <= len(b); i += 8 {
		// Eight bytes at a time: the high bit of a byte of found is set where one is below a space or a DEL. It may also be set
		// above such a byte, and a tab is below a space: the bytes are looked at once more.
		x := binary.LittleEndian.Uint64(b[i:])
		del := x ^ 0x7f*ones
		found := ((x-' '*ones) & ^x | (del-ones) & ^del) & (0x80 * ones)
		for ; found != 0; found &= found - 1 {
			if at := i + bits.TrailingZeros64(found)/8; isControl(b[at]) {
				return at
			}
		}
	}
	for ; i < len(b); i++ {
		if isControl(b[i]) {
			return i
		}
	}
	return -1
}

// trimSpace removes the spaces and tabs around a value.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares with a text in lower case; only ASCII letters have another case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if toLower(c) != lower[i] {
			return false
		}
	}
	return true
}

func toLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// elements of a list, RFC 9110 section 5.6.1: without spaces around them, and without empty ones.
func elements(list []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(list) > 0 {
			var element []byte
			element, list, _ = bytes.Cut(list, []byte(","))
			if element = trimSpace(element); len(element) > 0 && !yield(element) {
				return
			}
		}
	}
}
