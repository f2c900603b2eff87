package sniff

import (
	"io"
	"sync"
)

// frameHeader, in bytes, is the head of a frame of HTTP/2; its first three are the payload's length (RFC 9113, 4.1).
const frameHeader = 9

// Settings notices when net/http has taken in the SETTINGS of an HTTP/2 server, which are its first frame. Before, net/http lets 100
// requests reserve a place, and blocks all of them for ever when the server takes fewer: so only one gets the connection until then.
type Settings struct {
	// for the goroutine that reads
	got   int
	size  [3]byte
	ended bool

	mu   sync.Mutex
	over bool // it is known whether they came
	ok   bool
	then func(ok bool)
}

// Read reads from the connection. When more is read than the first frame, the frame was taken in.
func (f *Settings) Read(from io.Reader, p []byte) (int, error) {
	if f.ended {
		return from.Read(p)
	}
	if f.got >= frameHeader+(int(f.size[0])<<16|int(f.size[1])<<8|int(f.size[2])) {
		f.end(true)
	}
	n, err := from.Read(p)
	if f.got < len(f.size) {
		copy(f.size[f.got:], p[:n])
	}
	f.got += n
	if err != nil {
		f.end(false)
	}
	return n, err
}

func (f *Settings) end(ok bool) {
	if f.ended {
		return
	}
	f.ended = true
	f.mu.Lock()
	f.over, f.ok = true, ok
	then := f.then
	f.mu.Unlock()
	if then != nil {
		then(ok)
	}
}

// WhenOver calls then, once, with whether the SETTINGS came.
func (f *Settings) WhenOver(then func(ok bool)) {
	f.mu.Lock()
	if !f.over {
		f.then = then
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	then(f.ok)
}
