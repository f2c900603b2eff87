package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Waiting for the kernel's queue of accepted connections to be empty before a
// listener is closed.
const (
	drainEvery = 1 * time.Millisecond
	// drainQuiet looks in a row at an empty queue: a handshake that was under way
	// at the first look is in the queue at the second.
	drainQuiet = 2
	// drainLimit is ample for a queue of a few connections on a busy machine.
	drainLimit = 2 * time.Second
)

// door is a listening socket that can be closed and opened again under one
// server. Closing it loses no connection that a client believes to be accepted:
// what the kernel has queued is served first.
type door struct {
	addr netip.AddrPort
	srv  *http.Server

	mu     sync.Mutex
	ln     *net.TCPListener
	served sync.WaitGroup
}

// open starts to listen; an open door stays as it is.
func (d *door) open(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ln != nil {
		return nil
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // Go's default for listeners; such a socket takes no filter (see drain)
	l, err := lc.Listen(ctx, "tcp4", d.addr.String())
	if err != nil {
		return fmt.Errorf("listen on %s: %w", d.addr, err)
	}
	ln, ok := l.(*net.TCPListener)
	if !ok {
		return errors.Join(fmt.Errorf("listen on %s: not a TCP listener", d.addr), l.Close())
	}
	d.ln = ln
	// Serve ends when the listener is closed; connections under way go on.
	d.served.Go(func() { _ = d.srv.Serve(ln) })
	return nil
}

// shut stops listening; requests under way are finished.
func (d *door) shut(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ln == nil {
		return nil
	}
	err := drain(ctx, d.ln)
	if closeErr := d.ln.Close(); !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	d.ln = nil
	d.served.Wait()
	if err != nil {
		return fmt.Errorf("stop listening on %s: %w", d.addr, err)
	}
	return nil
}

// drain lets no further client in and waits until the server took what is queued.
func drain(ctx context.Context, ln *net.TCPListener) error {
	conn, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	if err := refuseNew(conn); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	look := time.NewTicker(drainEvery)
	defer look.Stop()
	for quiet := 0; quiet < drainQuiet; {
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil // the rest of the queue is cut off
		}
		n, err := queued(conn)
		if err != nil {
			return err
		}
		quiet++
		if n > 0 {
			quiet = 0
		}
	}
	return nil
}
