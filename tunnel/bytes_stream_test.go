package tunnel

import (
	"io"
	"time"
)

// bytesStream is a transport.Stream with fixed bytes.
type bytesStream struct{ r io.Reader }

func (b *bytesStream) Read(p []byte) (int, error)     { return b.r.Read(p) }
func (*bytesStream) Write(p []byte) (int, error)      { return len(p), nil }
func (*bytesStream) SetReadDeadline(time.Time) error  { return nil }
func (*bytesStream) SetWriteDeadline(time.Time) error { return nil }
func (*bytesStream) EndWrite()                        {}
func (*bytesStream) Finish()                          {}
func (*bytesStream) Abort(bool)                       {}
