package link

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pump moves the packets of one direction through its line.
//
// It is one thread that waits in ppoll(2) for a packet or for the time of the
// next delivery: Go's own timers may be a millisecond late, which is 5 % of a
// delay of 20 ms.
type pump struct {
	from, to *device
	wake     *os.File // an eventfd: settings changed, or it is time to stop
	wakeFD   int
	epoch    time.Time // the line's time 0
	mtu      int

	mu       sync.Mutex
	line     *line
	stopping bool

	spare [][]byte // buffers of MTU bytes to read into; the thread's own
}

func newPump(from, to *device, settings Settings, mtu int, seed uint64) (*pump, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("link: make an eventfd: %w", err)
	}
	return &pump{
		from: from, to: to, mtu: mtu,
		wake: os.NewFile(uintptr(fd), "eventfd"), wakeFD: fd,
		epoch: time.Now(), line: newLine(settings, seed),
	}, nil
}

func (p *pump) now() time.Duration { return time.Since(p.epoch) }

func (p *pump) settings() Settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.line.settings
}

func (p *pump) counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.line.count()
}

func (p *pump) set(s Settings) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.set(p.now(), s)
	return p.ring()
}

// stop makes run return.
func (p *pump) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	return p.ring()
}

// ring ends the thread's wait.
func (p *pump) ring() error {
	one := [8]byte{1, 7: 1} // not zero in either byte order
	if _, err := unix.Write(p.wakeFD, one[:]); err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("link: write to an eventfd: %w", err)
	}
	return nil
}

// run moves packets until stop.
func (p *pump) run() error {
	// Never unlocked: the thread ends with this goroutine, and its priority with it.
	runtime.LockOSThread()
	// Without the right to do so the line works as well, only less exactly.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlackNanoseconds, 0, 0, 0)
	for {
		if err := p.wait(); err != nil {
			return err
		}
		if stopped, err := p.move(); stopped || err != nil {
			return err
		}
	}
}

// wait for a packet, the time of a delivery, or ring.
func (p *pump) wait() error {
	p.mu.Lock()
	next, some := p.line.next()
	now := p.now()
	p.mu.Unlock()
	var timeout *unix.Timespec
	if some {
		ts := unix.NsecToTimespec(max(0, next-now).Nanoseconds())
		timeout = &ts
	}
	fds := []unix.PollFd{
		{Fd: int32(p.from.fd), Events: unix.POLLIN}, // descriptors are small
		{Fd: int32(p.wakeFD), Events: unix.POLLIN},  // descriptors are small
	}
	// Signals end the wait early, which does no harm.
	if _, err := unix.Ppoll(fds, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("link: wait for packets: %w", err)
	}
	if fds[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(p.wakeFD, count[:]) // only resets it
	}
	return nil
}

// move takes a batch of packets in and delivers those that are due.
func (p *pump) move() (stopped bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return true, nil
	}
	for range batch {
		more, err := p.read()
		if err != nil {
			return false, err
		}
		if !more {
			break
		}
	}
	for packet := p.line.due(p.now()); packet != nil; packet = p.line.due(p.now()) {
		if err := p.deliver(packet); err != nil {
			return false, err
		}
		p.recycle(packet)
	}
	return false, nil
}

// read takes one packet in, if there is one.
func (p *pump) read() (more bool, err error) {
	buffer := p.buffer()
	n, err := unix.Read(p.from.fd, buffer)
	if err != nil {
		p.recycle(buffer)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return false, fmt.Errorf("link: read from the device (was it or its namespace removed?): %w", err)
	}
	if !p.line.enter(p.now(), buffer[:n]) {
		p.recycle(buffer)
	}
	return true, nil
}

func (p *pump) deliver(packet []byte) error {
	_, err := unix.Write(p.to.fd, packet)
	switch {
	case err == nil:
		p.line.counters.Delivered.add(len(packet))
	case errors.Is(err, unix.EBADFD):
		return fmt.Errorf("link: write to the device (was it or its namespace removed?): %w", err)
	default:
		p.line.counters.Undeliverable.add(len(packet))
	}
	return nil
}

func (p *pump) buffer() []byte {
	if last := len(p.spare) - 1; last >= 0 {
		buffer := p.spare[last]
		p.spare = p.spare[:last]
		return buffer
	}
	return make([]byte, p.mtu)
}

func (p *pump) recycle(buffer []byte) { p.spare = append(p.spare, buffer[:cap(buffer)]) }

func (p *pump) close() error { return p.wake.Close() }
