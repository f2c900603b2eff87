package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// idHeader has the number of a request.
	idHeader = "X-Once"
	// brokenHeader marks an answer as the application's own error.
	brokenHeader = "X-Once-Broken"
	// maxLife is after how many bytes, either way, a connection of an application that cuts is reset at the latest.
	maxLife = 200_000
	// maxAnswer of an application, in bytes.
	maxAnswer = 4000
	// goAwayIn is how rarely an application that ends connections does so: at one of so many requests.
	goAwayIn = 20
)

// Modes of an application; one is a line of its standard input.
const (
	modeOK     = "ok"
	modeBroken = "503"    // answers 503 to everything, after it has executed it
	modeCut    = "cut"    // resets each connection at a byte of its choice
	modeGoAway = "goaway" // ends connections under requests: GOAWAY, or Connection: close
)

// application executes requests and records each, before anything else.
type application struct {
	record *os.File
	mode   atomic.Value
}

// runApp serves one application until its input ends.
func runApp(ctx context.Context, setup string, orders io.Reader) error {
	listen, path, ok := strings.Cut(setup, " ")
	if !ok {
		return fmt.Errorf("%s=%q is not LISTEN FILE", appVariable, setup)
	}
	record, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("record of executions: %w", err)
	}
	a := &application{record: record}
	a.mode.Store(modeOK)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: a, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan error, 1)
	go func() { served <- server.Serve(&cutter{listener, a}) }()
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		a.mode.Store(lines.Text())
	}
	return errors.Join(lines.Err(), server.Close(), ignoreClosed(<-served), record.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (a *application) is(mode string) bool { return a.mode.Load() == mode }

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.Header.Get(idHeader), 10, 32)
	if err != nil {
		http.Error(w, idHeader+": "+err.Error(), http.StatusBadRequest)
		return
	}
	// One write, unbuffered: it survives kill -9.
	if _, err := a.record.Write(binary.LittleEndian.AppendUint32(nil, uint32(id))); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if a.is(modeGoAway) && rand.IntN(goAwayIn) == 0 {
		w.Header().Set("Connection", "close")
	}
	n, err := io.Copy(io.Discard, r.Body)
	switch {
	case err != nil || (r.ContentLength >= 0 && n != r.ContentLength):
		panic(http.ErrAbortHandler)
	case a.is(modeBroken):
		w.Header().Set(brokenHeader, "true")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	body := make([]byte, rand.IntN(maxAnswer))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a caller that is gone counts that itself
}

// cutter gives each connection a length of life: the bytes that it carries while the application cuts.
type cutter struct {
	net.Listener
	app *application
}

func (c *cutter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &cut{Conn: conn, app: c.app, left: 1 + rand.IntN(maxLife)}, nil
}

// cut is reset at the end of its life.
type cut struct {
	net.Conn
	app *application

	mu   sync.Mutex
	left int
}

// take returns how many of n bytes may pass. It ends the connection when there are none left.
func (c *cut) take(n int) (allowed int, last bool) {
	if !c.app.is(modeCut) {
		return n, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	allowed = min(n, c.left)
	c.left -= allowed
	return allowed, c.left == 0
}

func (c *cut) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	n, last := c.take(n)
	if last {
		c.reset()
	}
	return n, err
}

func (c *cut) Write(p []byte) (int, error) {
	allowed, last := c.take(len(p))
	n, err := c.Conn.Write(p[:allowed])
	if last {
		c.reset()
		return n, errors.Join(err, net.ErrClosed)
	}
	return n, err
}

// reset ends it with RST, or in one of four cases with FIN.
func (c *cut) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && rand.IntN(4) > 0 {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
