package http

import (
	"errors"
	"io"
	"sync"
)

// opening is what has come of an answer's body before the head is passed on.
type opening struct {
	buf *[]byte
	n   int
	err error
}

// await reads the first part of a body of known length: its head would wait for that all the same. So an answer that ends between the two
// was not begun for the client. Of one of unknown length the first part may be a long time in coming.
func (o *opening) await(body io.Reader, length int64, buffers *sync.Pool) error {
	if length <= 0 {
		return nil
	}
	o.buf, _ = buffers.Get().(*[]byte)
	for o.n == 0 && o.err == nil {
		o.n, o.err = body.Read(*o.buf)
	}
	if o.n == 0 && !errors.Is(o.err, io.EOF) { // io.EOF: of an answer to HEAD
		return o.err
	}
	return nil
}

// read returns the first part once, then what follows.
func (o *opening) read(body io.Reader) ([]byte, error) {
	if n, err := o.n, o.err; n > 0 || err != nil {
		o.n, o.err = 0, nil
		return (*o.buf)[:n], err
	}
	n, err := body.Read(*o.buf)
	return (*o.buf)[:n], err
}

// end gives the buffer back.
func (o *opening) end(buffers *sync.Pool) {
	if o.buf != nil {
		buffers.Put(o.buf)
		o.buf = nil
	}
}
