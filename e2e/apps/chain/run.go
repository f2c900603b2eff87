package chain

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run serves the application at its ports of an address (the zero Addr: all
// addresses). When ctx ends it goes on for a while as every application must
// that is taken out of a load balancer, and lets its callers' connections come
// to their ends, then finishes what is under way.
func Run(ctx context.Context, c Config, at netip.Addr) error {
	if err := c.Validate(); err != nil {
		return err
	}
	app := &App{Config: c, client: Client{Dialer: Dialer{Hosts: c.Hosts}}}
	if c.Record != "" {
		var err error
		if app.record, err = os.OpenFile(c.Record, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644); err != nil {
			return fmt.Errorf("chain: record executions: %w", err)
		}
		defer app.record.Close()
	}
	listeners, err := listenAll(ctx, c, at)
	if err != nil {
		return err
	}
	streams := &Streams{Hello: func(local net.Addr) string { return app.hop(local).String() }}
	asked := http.NewServeMux()
	asked.Handle("GET /executions", &app.Executions)
	front := &http.Server{Handler: app, ReadHeaderTimeout: headerTimeout}
	back := &http.Server{Handler: asked, ReadHeaderTimeout: headerTimeout}

	var serving errgroup.Group
	serve := func(s *http.Server, port int) {
		serving.Go(func() error {
			if err := s.Serve(listeners[port]); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("chain: serve port %d: %w", port, err)
			}
			return nil
		})
	}
	serve(front, Port)
	for port := range c.Certificates {
		serve(front, port)
	}
	serve(back, JournalPort)
	until, cut := context.WithCancel(context.WithoutCancel(ctx))
	serving.Go(func() error { return streams.Run(until, listeners[StreamPort]) })

	<-ctx.Done()
	app.leaving.Store(true)
	lame := time.NewTimer(cmp.Or(c.Lame, lameTime))
	<-lame.C
	end, cancel := context.WithTimeout(until, endTime)
	defer cancel()
	err = front.Shutdown(end)
	app.Executions.Close() // its readers end
	err = errors.Join(err, back.Shutdown(end))
	cut()
	return errors.Join(err, serving.Wait())
}

// listenAll at all ports, or none.
func listenAll(ctx context.Context, c Config, at netip.Addr) (map[int]net.Listener, error) {
	listeners := make(map[int]net.Listener)
	open := func(port int, wrap func(net.Listener) (net.Listener, error)) error {
		listener, err := listen(ctx, at, port)
		if err != nil {
			return err
		}
		listeners[port] = listener // to be closed, if the next line fails
		listeners[port], err = wrap(listener)
		return err
	}
	var err error
	for _, port := range []int{Port, StreamPort, JournalPort} {
		err = errors.Join(err, open(port, func(l net.Listener) (net.Listener, error) { return l, nil }))
	}
	for port, pair := range c.Certificates {
		err = errors.Join(err, open(port, func(l net.Listener) (net.Listener, error) {
			certificate, err := tls.X509KeyPair([]byte(pair[0]), []byte(pair[1]))
			if err != nil {
				return l, fmt.Errorf("chain: certificate of port %d: %w", port, err)
			}
			return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}), nil
		}))
	}
	if err != nil {
		for _, l := range listeners {
			_ = l.Close()
		}
		return nil, err
	}
	return listeners, nil
}

func listen(ctx context.Context, at netip.Addr, port int) (net.Listener, error) {
	var config net.ListenConfig
	host := ""
	if at.IsValid() {
		host = at.String()
	}
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return nil, fmt.Errorf("chain: listen: %w", err)
	}
	return listener, nil
}
