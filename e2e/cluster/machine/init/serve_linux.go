package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

const (
	// maxRequest in bytes: command lines of Kubernetes daemons are about 2 KiB.
	maxRequest = 64 << 10
	// requestTime for a request to arrive: it was written before connecting went on.
	requestTime = 5 * time.Second
)

// listen on the control socket, which only root may use.
func listen(ctx context.Context, path string) (net.Listener, error) {
	unix.Umask(0o077)
	defer unix.Umask(0o022)
	if err := os.RemoveAll(path); err != nil {
		return nil, err
	}
	return (&net.ListenConfig{}).Listen(ctx, "unix", path)
}

// serve answers requests until ctx is done.
func serve(ctx context.Context, l net.Listener, daemons *daemons) error {
	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return fmt.Errorf("accept on the control socket: %w", err)
		}
		group.Go(func() error {
			defer conn.Close()
			answer(ctx, conn, daemons)
			return nil
		})
	}
}

// answer one request. One that waits ends with its connection.
func answer(ctx context.Context, conn net.Conn, daemons *daemons) {
	_ = conn.SetReadDeadline(time.Now().Add(requestTime))
	var request machine.Request
	if err := json.NewDecoder(io.LimitReader(conn, maxRequest)).Decode(&request); err != nil {
		reply(conn, machine.Response{Error: fmt.Sprintf("read the request: %v", err)})
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	var (
		response machine.Response
		err      error
	)
	switch request.Op {
	case machine.OpStart:
		err = daemons.start(request.Daemon)
	case machine.OpSignal:
		err = daemons.signal(request.Daemon.Name, unix.Signal(request.Signal))
	case machine.OpList:
		response.Daemons = daemons.list()
	case machine.OpWait:
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() { // ends with the connection, which answer's caller closes
			_, _ = conn.Read(make([]byte, 1))
			cancel()
		}()
		var status machine.Status
		status, err = daemons.wait(ctx, request.Daemon.Name)
		response.Daemons = []machine.Status{status}
	default:
		err = fmt.Errorf("no operation %q", request.Op)
	}
	if err != nil {
		response.Error = err.Error()
	}
	reply(conn, response)
}

func reply(conn net.Conn, response machine.Response) {
	_ = conn.SetWriteDeadline(time.Now().Add(requestTime))
	_ = json.NewEncoder(conn).Encode(response) //nolint:errchkjson // the client is gone
}
