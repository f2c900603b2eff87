package chain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// A stream is a TCP connection on which the server speaks first: a line that
// says who it is, as answers do. Then it repeats each line of the client. When
// the client has closed its side, it writes endLine and closes its own. So each
// side notices at once when the other was cut off, or something was lost.
const (
	endLine = "end"
	// maxLine of a stream in bytes.
	maxLine = 256
	// silenceTime is how long nothing may come: longer than a peer that fell
	// silent takes to be declared dead.
	silenceTime = 30 * time.Second
)

// Streams serves streams.
type Streams struct {
	// Hello makes the first line, for a connection to that address.
	Hello func(local net.Addr) string

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// Run serves a listener until ctx ends, and cuts off what is still open then.
func (s *Streams) Run(ctx context.Context, listener net.Listener) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = listener.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for conn := range s.conns {
			_ = conn.Close()
		}
	})
	defer stop()
	for {
		conn, err := listener.Accept()
		if err == nil && ctx.Err() != nil {
			err = conn.Close()
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("chain: accept a stream: %w", err)
		}
		s.mark(conn, true)
		serving.Go(func() {
			defer s.mark(conn, false)
			_ = s.serve(ctx, conn) // the client notices
		})
	}
}

func (s *Streams) mark(conn net.Conn, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[net.Conn]bool)
	}
	if open {
		s.conns[conn] = true
		return
	}
	delete(s.conns, conn)
	_ = conn.Close()
}

func (s *Streams) serve(ctx context.Context, conn net.Conn) error {
	if _, err := fmt.Fprintln(conn, s.Hello(conn.LocalAddr())); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(conn, maxLine)
	for ctx.Err() == nil {
		if err := conn.SetReadDeadline(time.Now().Add(silenceTime)); err != nil {
			return err
		}
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			_, err = fmt.Fprintln(conn, endLine)
			return err
		}
		if err != nil {
			return err
		}
		if _, err := conn.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// Stream opens a stream to HOST:PORT and keeps it open until ctx ends, or it was
// cut off, which is the error: it writes a number at each interval and reads it
// back. The greeting names what answered, also if the stream failed later.
func Stream(ctx context.Context, dialer *Dialer, address string, every time.Duration) (greeting string, err error) {
	dial, cancel := context.WithTimeout(ctx, RequestTimeout)
	conn, err := dialer.DialContext(dial, "tcp", address)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return "", nil // it ended before it began
		}
		return "", fmt.Errorf("open a stream to %s: %w", address, err)
	}
	defer conn.Close()
	write, stop := context.WithCancel(ctx)
	defer stop()
	sent := make(chan error, 1)
	go func() { sent <- writeNumbers(write, conn, every) }()
	greeting, n, err := readNumbers(conn)
	ended := ctx.Err() != nil
	stop()
	wrote := <-sent
	switch {
	case err != nil:
		// The writer may have got the reset, which the reader then sees as an end.
		return greeting, fmt.Errorf("stream to %s from %s broke off after %d numbers: %w", address, conn.LocalAddr(), n, errors.Join(err, wrote))
	case !ended:
		return greeting, fmt.Errorf("stream to %s from %s ended by itself after %d numbers (%w)",
			address, conn.LocalAddr(), n, errors.Join(wrote, io.EOF))
	}
	return greeting, nil
}

func writeNumbers(ctx context.Context, conn net.Conn, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		if _, err := fmt.Fprintln(conn, n); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			half, ok := conn.(interface{ CloseWrite() error })
			if !ok {
				return errors.New("the connection has no sides of its own")
			}
			return half.CloseWrite()
		}
	}
}

// readNumbers returns at a stream's clean end.
func readNumbers(conn net.Conn) (greeting string, n int, err error) {
	lines := bufio.NewReaderSize(conn, maxLine)
	for ; ; n++ {
		if err := conn.SetReadDeadline(time.Now().Add(silenceTime)); err != nil {
			return greeting, n, err
		}
		line, err := lines.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		switch {
		case err != nil:
			return greeting, n, err
		case greeting == "":
			greeting = line
			n--
		case line == endLine:
			if _, err := lines.ReadByte(); !errors.Is(err, io.EOF) {
				return greeting, n, fmt.Errorf("after the end: %w", errors.Join(err, errors.New("more, or no end")))
			}
			return greeting, n, nil
		case line != fmt.Sprint(n):
			return greeting, n, fmt.Errorf("read %q, want %d", line, n)
		}
	}
}
