package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchBatch is how many events one look takes.
const watchBatch = 128

// Watch notices sockets that were reset and sockets whose host has vanished, without reading them and without a
// goroutine for each. Resets: one epoll instance holds all sockets, edge-triggered, for errors only. Go's own poller waits
// for the instance as for any file, so that no thread sits in it. Vanished hosts: a look at each socket's TCP_INFO at an interval.
type Watch struct {
	file *os.File
	raw  syscall.RawConn

	mu      sync.Mutex
	last    uint64
	sockets map[uint64]*watched // by its token: a descriptor's number may be used again before its events are read
}

// watched is one socket of a Watch. Its funcs must not block.
type watched struct {
	token  uint64
	socket syscall.RawConn
	reset  func() // the socket has an error; may be called more than once
	gone   func() // the host behind it has vanished; may be called more than once
}

// NewWatch makes the epoll instance; Run closes it.
func NewWatch() (*Watch, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("relay: create epoll instance (raise the limit of open files?): %w", err)
	}
	// Only a non-blocking descriptor is given to the poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("relay: make epoll instance non-blocking: %w", err)
	}
	file := os.NewFile(uintptr(fd), "reset watch")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("relay: epoll instance: %w", err)
	}
	return &Watch{file: file, raw: raw, sockets: make(map[uint64]*watched)}, nil
}

// Run reports what happens to the sockets until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var looks sync.WaitGroup
	defer looks.Wait()
	defer cancel()
	looks.Go(func() { w.lookForVanished(ctx) })
	return w.waitForResets(ctx)
}

func (w *Watch) waitForResets(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = w.file.Close() })
	defer stop()
	defer func() { _ = w.file.Close() }()
	var failed error
	events := make([]unix.EpollEvent, watchBatch)
	err := w.raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), events, 0)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				failed = err
				return true
			case n == 0:
				return ctx.Err() != nil
			}
			w.dispatch(events[:n])
		}
	})
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("relay: wait for resets: %w", errors.Join(failed, err))
}

func (w *Watch) dispatch(events []unix.EpollEvent) {
	for _, e := range events {
		if e.Events&unix.EPOLLERR == 0 {
			continue // EPOLLHUP alone is a connection that ended clean both ways
		}
		token := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 // as add put them there
		w.mu.Lock()
		socket := w.sockets[token]
		w.mu.Unlock()
		if socket != nil {
			socket.reset()
		}
	}
}

func (w *Watch) lookForVanished(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		sockets := slices.Collect(maps.Values(w.sockets))
		w.mu.Unlock()
		for _, s := range sockets {
			if hasVanished(s.socket) {
				s.gone()
			}
		}
	}
}

// hasVanished is false for a socket that is closed.
func hasVanished(socket syscall.RawConn) bool {
	vanished := false
	_ = socket.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		vanished = err == nil && isVanished(info)
	})
	return vanished
}

// isVanished is true when the other host has sent nothing for silenceMax and left several transmissions or window probes
// in a row unanswered. The kernel resets both counts with each answer, so a reader that keeps its window closed is alive as
// long as it answers the probes, however far apart they are.
//
// TCP_USER_TIMEOUT would not do: since Linux 5.11 it also ends a connection whose window stays closed for that long
// although every probe is answered (tcp_probe_timer, icsk_probes_tstamp).
func isVanished(info *unix.TCPInfo) bool {
	silence := time.Duration(min(info.Last_ack_recv, info.Last_data_recv)) * time.Millisecond
	return silence >= silenceMax && max(info.Retransmits, info.Probes) >= keepAliveCount
}

// add watches a socket until forget; a closed one is forgotten by the kernel only.
func (w *Watch) add(s *watched) error {
	w.mu.Lock()
	w.last++
	s.token = w.last
	w.sockets[s.token] = s
	w.mu.Unlock()
	event := unix.EpollEvent{
		Events: unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLET,
		Fd:     int32(uint32(s.token)),       // the lower half
		Pad:    int32(uint32(s.token >> 32)), // the upper half
	}
	var inner, ctl error
	outer := w.raw.Control(func(epoll uintptr) {
		inner = s.socket.Control(func(fd uintptr) {
			ctl = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, int(fd), &event)
		})
	})
	return errors.Join(outer, inner, ctl)
}

func (w *Watch) forget(s *watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sockets, s.token)
}
