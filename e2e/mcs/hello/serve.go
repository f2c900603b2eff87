package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// lineTime for a client to send its next line: longer than a connection is held on purpose.
	lineTime = 2 * holdTime
	// maxLine of a client, in bytes.
	maxLine = 512
)

// serve until ctx ends.
func serve(ctx context.Context, at netip.AddrPort, who string) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", at.String())
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	// Port 0 is the same number for both.
	bound := listener.Addr().(*net.TCPAddr).AddrPort() //nolint:forcetypeassert // net says so
	packets, err := config.ListenPacket(ctx, "udp", bound.String())
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), listener.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() {
		_ = listener.Close()
		_ = packets.Close()
	})
	defer stop()
	var serving sync.WaitGroup
	results := make([]error, 2)
	serving.Go(func() { defer cancel(); results[0] = serveStreams(ctx, listener, who) })
	serving.Go(func() { defer cancel(); results[1] = serveDatagrams(packets, who) })
	serving.Wait()
	for _, err := range results {
		if !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("serve: %w", err)
		}
	}
	return nil
}

func serveStreams(ctx context.Context, listener net.Listener, who string) error {
	var answering sync.WaitGroup
	defer answering.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		answering.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			for lines := bufio.NewReaderSize(conn, maxLine); ; fmt.Fprintln(conn, who) {
				_ = conn.SetDeadline(time.Now().Add(lineTime))
				if _, err := lines.ReadSlice('\n'); err != nil {
					return
				}
			}
		})
	}
}

func serveDatagrams(packets net.PacketConn, who string) error {
	buffer := make([]byte, maxLine)
	for {
		_, from, err := packets.ReadFrom(buffer)
		if err != nil {
			return err
		}
		_, _ = packets.WriteTo([]byte(who+"\n"), from)
	}
}
