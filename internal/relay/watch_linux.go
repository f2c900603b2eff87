package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchBatch is how many events one look takes.
const watchBatch = 128

// ResetWatch notices sockets that were reset, without reading them and without
// a goroutine for each: one epoll instance has them all, asked for nothing
// but errors, edge-triggered. The instance itself is waited for like any file, by Go's own poller,
// so that no thread sits in it.
type ResetWatch struct {
	file *os.File
	raw  syscall.RawConn

	mu      sync.Mutex
	last    uint64
	sockets map[uint64]func() // by token: a descriptor's number may be used again before its events are read
}

// NewResetWatch makes the epoll instance; Run gives it back.
func NewResetWatch() (*ResetWatch, error) {
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
	return &ResetWatch{file: file, raw: raw, sockets: make(map[uint64]func())}, nil
}

// Run calls back for reset sockets until ctx ends.
func (w *ResetWatch) Run(ctx context.Context) error {
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

func (w *ResetWatch) dispatch(events []unix.EpollEvent) {
	for _, e := range events {
		if e.Events&unix.EPOLLERR == 0 {
			continue // EPOLLHUP alone is a connection that ended clean both ways
		}
		token := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 //nolint:gosec // as add put them there
		w.mu.Lock()
		reset := w.sockets[token]
		w.mu.Unlock()
		if reset != nil {
			reset()
		}
	}
}

// add has reset called, at once or later and more than once maybe, when the socket has an error. It must not block.
// The kernel forgets a socket when it is closed; the returned func makes the watch forget it.
func (w *ResetWatch) add(socket syscall.RawConn, reset func()) (func(), error) {
	w.mu.Lock()
	w.last++
	token := w.last
	w.sockets[token] = reset
	w.mu.Unlock()
	forget := func() {
		w.mu.Lock()
		delete(w.sockets, token)
		w.mu.Unlock()
	}
	event := unix.EpollEvent{
		Events: unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLET,
		Fd:     int32(uint32(token)),       //nolint:gosec // the lower half
		Pad:    int32(uint32(token >> 32)), //nolint:gosec // the upper half
	}
	var inner, ctl error
	outer := w.raw.Control(func(epoll uintptr) {
		inner = socket.Control(func(fd uintptr) {
			ctl = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, int(fd), &event)
		})
	})
	if err := errors.Join(outer, inner, ctl); err != nil {
		forget()
		return nil, err
	}
	return forget, nil
}
