package transport

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
)

// movingSocket is the UDP socket of one dialed QUIC connection. It can be exchanged under the running connection: to the
// peer that looks as if a NAT had changed the address, and the peer sends nothing but a challenge to a new address before
// that has proved to be the connection's (RFC 9000, 9.3).
//
// quic-go's own migration (Conn.AddPath) would not do: it sends no probe while the congestion window is full, which it is
// during every upload that has gone unanswered, and it has connection IDs for two paths until something is heard again.
type movingSocket struct {
	first  *net.UDPConn // the one that quic-go prepares
	remote *net.UDPAddr
	ids    connIDs
	active atomic.Pointer[udpSocket]
	search atomic.Pointer[pathSearch] // nil: none is under way
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	deadline time.Time // for reading
}

// udpSocket is one of them.
type udpSocket struct {
	*net.UDPConn
	batch *ipv4.PacketConn
	first []byte // the datagram that it was chosen for; the reader's
	spent int    // bytes sent while it was tried; movingSocket.mu guards it
}

// pathSearch is a search for another path. What QUIC sends goes out from all sockets that are tried, and from the present one;
// the first that the peer answers on is kept. movingSocket.mu guards it.
type pathSearch struct {
	tried []*udpSocket
	last  []byte // the newest datagrams, for sockets to come; with their control message
	oob   []byte
	moved chan struct{} // closed when a new socket is in use
}

func newMovingSocket(remote *net.UDPAddr) (*movingSocket, error) {
	s, err := openUDP(remote)
	if err != nil {
		return nil, err
	}
	m := &movingSocket{first: s.UDPConn, remote: remote}
	m.active.Store(s)
	return m, nil
}

// openUDP opens a socket with a free port from which remote can be reached.
func openUDP(remote *net.UDPAddr) (*udpSocket, error) {
	network := "udp6"
	if remote.IP.To4() != nil {
		network = "udp4"
	}
	c, err := net.ListenUDP(network, nil) // waits for nothing
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket to dial from: %w", err)
	}
	return &udpSocket{UDPConn: c, batch: ipv4.NewPacketConn(c)}, nil
}

// startSearch begins a search; nil when the socket is closed. Only one may be under way.
func (m *movingSocket) startSearch() *pathSearch {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	s := &pathSearch{moved: make(chan struct{})}
	m.search.Store(s)
	return s
}

// endSearch closes the sockets that were tried in vain.
func (m *movingSocket) endSearch(search *pathSearch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endSearchLocked(search)
}

func (m *movingSocket) endSearchLocked(search *pathSearch) {
	if search == nil || !m.search.CompareAndSwap(search, nil) {
		return
	}
	for _, s := range search.tried {
		if s != m.active.Load() {
			_ = s.Close()
		}
	}
}

// try opens another socket to search with.
func (m *movingSocket) try(search *pathSearch) error {
	s, err := openUDP(m.remote)
	if err != nil {
		return err
	}
	m.mu.Lock()
	if m.closed || m.search.Load() != search {
		m.mu.Unlock()
		return s.Close()
	}
	copyUDPOptions(m.active.Load().UDPConn, s.UDPConn)
	search.tried = append(search.tried, s)
	m.wg.Go(func() { m.listen(search, s) })
	s.spent += len(search.last)
	last, oob := search.last, search.oob
	m.mu.Unlock()
	if len(last) > 0 {
		_, _, _ = s.WriteMsgUDP(last, oob, m.remote)
	}
	return nil
}

// listen waits for the connection's first datagram to a socket that is tried, which is then used.
func (m *movingSocket) listen(search *pathSearch, s *udpSocket) {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // another one was faster, or the search is over
		}
		at := m.remote.AddrPort()
		if from.Port() == at.Port() && from.Addr().Unmap() == at.Addr().Unmap() && m.ids.meant(buf[:n]) {
			s.first = buf[:n]
			m.moveTo(search, s)
			return
		}
	}
}

func (m *movingSocket) moveTo(search *pathSearch, s *udpSocket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.search.Load() != search {
		return
	}
	_ = s.SetReadDeadline(m.deadline)
	_ = m.active.Swap(s).Close() // calls that read or write there go on with s
	m.endSearchLocked(search)
	close(search.moved)
}

// ReadBatch makes quic-go read from here instead of from the first socket's descriptor.
func (m *movingSocket) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		s := m.active.Load()
		if b := s.first; b != nil {
			s.first = nil
			ms[0].N, ms[0].NN, ms[0].Addr = copy(ms[0].Buffers[0], b), 0, m.remote
			return 1, nil
		}
		n, err := s.batch.ReadBatch(ms, flags)
		if err == nil || m.active.Load() == s {
			return n, err
		}
	}
}

// ReadMsgUDP implements quic.OOBCapablePacketConn.
func (m *movingSocket) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	for {
		s := m.active.Load()
		if first := s.first; first != nil {
			s.first = nil
			return copy(b, first), 0, 0, m.remote, nil
		}
		n, oobn, flags, addr, err = s.ReadMsgUDP(b, oob)
		if err == nil || m.active.Load() == s {
			return n, oobn, flags, addr, err
		}
	}
}

// ReadFrom implements net.PacketConn.
func (m *movingSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, _, addr, err := m.ReadMsgUDP(b, nil)
	if err != nil {
		return n, nil, err
	}
	return n, addr, nil
}

// WriteMsgUDP implements quic.OOBCapablePacketConn.
func (m *movingSocket) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	for {
		s := m.active.Load()
		n, oobn, err = s.WriteMsgUDP(b, oob, addr)
		if err == nil || m.active.Load() == s {
			break
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		op.Source = nil // another port each time: so that what stays the same reads the same, and is logged once
	}
	if m.search.Load() != nil {
		for _, s := range m.alsoFrom(b, oob) {
			_, _, _ = s.WriteMsgUDP(b, oob, addr)
		}
	}
	return n, oobn, err
}

// alsoFrom are the sockets that are tried and may send b.
func (m *movingSocket) alsoFrom(b, oob []byte) []*udpSocket {
	m.mu.Lock()
	defer m.mu.Unlock()
	search := m.search.Load()
	if search == nil {
		return nil
	}
	search.last, search.oob = slices.Clone(b), slices.Clone(oob)
	var out []*udpSocket
	for _, s := range search.tried {
		if s.spent+len(b) <= maxPathBytes {
			s.spent += len(b)
			out = append(out, s)
		}
	}
	return out
}

// WriteTo implements net.PacketConn.
func (m *movingSocket) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError(addr.String())
	}
	n, _, err := m.WriteMsgUDP(b, nil, to)
	return n, err
}

// SetReadDeadline implements net.PacketConn.
func (m *movingSocket) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deadline = t
	return m.active.Load().SetReadDeadline(t)
}

// SetWriteDeadline and SetDeadline, which quic-go does not use, hold for the socket in use.
func (m *movingSocket) SetWriteDeadline(t time.Time) error {
	return m.active.Load().SetWriteDeadline(t)
}

// SetDeadline implements net.PacketConn.
func (m *movingSocket) SetDeadline(t time.Time) error {
	return errors.Join(m.SetReadDeadline(t), m.SetWriteDeadline(t))
}

// LocalAddr is the address of the socket in use.
func (m *movingSocket) LocalAddr() net.Addr { return m.active.Load().LocalAddr() }

// SyscallConn, SetReadBuffer and SetWriteBuffer are for quic-go's preparations.
func (m *movingSocket) SyscallConn() (syscall.RawConn, error) { return m.first.SyscallConn() }

// SetReadBuffer sets the first socket's buffer in bytes.
func (m *movingSocket) SetReadBuffer(n int) error { return m.first.SetReadBuffer(n) }

// SetWriteBuffer sets the first socket's buffer in bytes.
func (m *movingSocket) SetWriteBuffer(n int) error { return m.first.SetWriteBuffer(n) }

// Close closes all sockets, and returns when nothing reads from those that were tried. A second call does nothing.
func (m *movingSocket) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.endSearchLocked(m.search.Load())
	err := m.active.Load().Close()
	m.mu.Unlock()
	m.wg.Wait()
	return err
}
