package sim

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel/transport"
)

// transport is what a proxy has its tunnels over.
func (r *proxyRun) transport() transport.Transport {
	w := r.proxy.w
	if w.plan.Memory {
		return w.memory.Transport(r.proxy.host.Addr().String())
	}
	return transport.NewTCP(transport.TCPConfig{
		Dial:   r.dialTunnel,
		Listen: r.listenForTunnels,
		Wrap:   func(c net.Conn) net.Conn { return newFrames(c) },
	})
}

func (r *proxyRun) dialTunnel(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	c, err := r.proc.Dial(ctx, to)
	if err != nil {
		return nil, err // not a nil *simnet.Conn in an interface
	}
	return c, c.SetWriteBuffer(tunnelBuffer)
}

func (r *proxyRun) listenForTunnels(_ context.Context, addr string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	l, err := r.proc.Listen(at.Port())
	if err != nil {
		return nil, err
	}
	return tunnelListener{l}, nil
}

// tunnelListener accepts connections with room for everything.
type tunnelListener struct{ *simnet.Listener }

func (l tunnelListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, c.(*simnet.Conn).SetWriteBuffer(tunnelBuffer) //nolint:forcetypeassert // simnet's
}

// In a bubble no time passes while a goroutine waits for a mutex. yamux holds a stream's mutex while it waits for the rest of a
// frame, or for room in the connection's send buffer. So tunnels read whole frames only (frames), and their connections take
// more bytes than all windows together (tunnelBuffer).
const tunnelBuffer = 256 << 20

// Yamux' frame header: version, type, flags (2), stream (4), length (4). Only data frames (type 0) have a body.
const (
	frameHeader = 12
	frameData   = 0
)

// frames is a connection of which a read returns whole frames, or what there is before an error.
type frames struct {
	net.Conn
	in    [16 << 10]byte
	buf   []byte
	whole int // bytes of buf that are whole frames
	err   error
}

func newFrames(c net.Conn) *frames { return &frames{Conn: c} }

func (f *frames) Read(p []byte) (int, error) {
	for f.whole == 0 && f.err == nil {
		n, err := f.Conn.Read(f.in[:]) // a TLS record at most
		f.buf, f.err = append(f.buf, f.in[:n]...), err
		f.scan()
	}
	ready := f.buf[:f.whole]
	if f.err != nil {
		ready = f.buf
	}
	n := copy(p, ready)
	f.buf = f.buf[:copy(f.buf, f.buf[n:])]
	f.whole = max(f.whole-n, 0)
	if n == 0 && len(p) > 0 {
		return 0, f.err
	}
	return n, nil
}

func (f *frames) scan() {
	for {
		rest := f.buf[f.whole:]
		if len(rest) < frameHeader {
			return
		}
		size := frameHeader
		if rest[1] == frameData {
			size += int(binary.BigEndian.Uint32(rest[8:]))
		}
		if len(rest) < size {
			return
		}
		f.whole += size
	}
}
