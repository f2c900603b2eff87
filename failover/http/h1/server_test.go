package h1_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/failover/http/h1/h1test"
)

// verified is a connection that is read through a Reader.
type verified struct {
	*net.TCPConn
	reader *h1.Reader
}

func (c verified) Read(p []byte) (int, error) { return c.reader.Read(p) }

// listener accepts such connections.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return verified{conn.(*net.TCPConn), h1.NewReader(conn, h1.Limits{})}, nil
}

// serve runs net/http's server behind Readers; the handler's requests are counted.
func serve(t *testing.T, maxHeaderBytes int, handler http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, MaxHeaderBytes: maxHeaderBytes}
	var running, connections sync.WaitGroup
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			connections.Add(1)
		case http.StateClosed, http.StateHijacked:
			connections.Done()
		}
	}
	running.Go(func() { server.Serve(listener{l}) })
	t.Cleanup(func() {
		server.Close()
		running.Wait()
		connections.Wait() // the server lingers after a 431
	})
	return l.Addr().String()
}

// net/http's server answers a bad head with the status of the violation, and no handler sees it.
func TestServerAnswers(t *testing.T) {
	t.Parallel()
	served := make(chan string, 1000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served <- r.RequestURI
		io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Served", "yes")
	})
	byDefault, asLimits := serve(t, 0, handler), serve(t, 60<<10, handler)
	for _, c := range h1test.Cases() {
		if c.Status == 0 || strings.Contains(c.Input, "HTTP/1.0") {
			continue // HTTP/1.0 ends after one request
		}
		addresses := []string{asLimits}
		if c.Status == http.StatusRequestHeaderFieldsTooLarge {
			addresses = append(addresses, byDefault)
		}
		for _, address := range addresses {
			answers := exchange(t, address, c.Input)
			if len(answers) != c.Requests+1 {
				t.Errorf("%s/%s: %d answers, want %d", c.Class, c.Name, len(answers), c.Requests+1)
				continue
			}
			for i, answer := range answers {
				refused := i == c.Requests
				if answer.status != http.StatusOK && !refused || refused && (answer.status != c.Status || !answer.last) {
					t.Errorf("%s/%s: answer %d is %+v", c.Class, c.Name, i, answer)
				}
				if answer.status == http.StatusOK {
					<-served
				}
			}
			if len(served) > 0 {
				t.Errorf("%s/%s: the handler got %q", c.Class, c.Name, <-served)
			}
		}
	}
}

// answer is what matters of one.
type answer struct {
	status int
	last   bool // the server closes the connection after it
}

// exchange sends all, and reads answers until the server closes the connection.
func exchange(t *testing.T, address, input string) (answers []answer) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var sent sync.WaitGroup
	sent.Go(func() { io.WriteString(conn, input) }) // the server may not read all of it
	defer sent.Wait()
	for r := bufio.NewReader(conn); ; {
		got, err := http.ReadResponse(r, nil)
		if err != nil {
			return answers
		}
		io.Copy(io.Discard, got.Body)
		got.Body.Close()
		answers = append(answers, answer{got.StatusCode, got.Close})
	}
}

// A violation in a body reaches the handler that reads it, and the connection ends with the answer.
func TestServerCutsBodies(t *testing.T) {
	t.Parallel()
	type seen struct {
		target, body string
		failed       bool
	}
	handled := make(chan seen, 10)
	address := serve(t, 0, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		handled <- seen{r.RequestURI, string(body), err != nil}
	}))
	for _, c := range h1test.Cases() {
		if c.Reason == "" || c.Status != 0 {
			continue
		}
		answers := exchange(t, address, c.Input)
		if got := <-handled; !got.failed || got.target != "/a" || len(answers) != 1 || !answers[0].last || len(handled) > 0 {
			t.Errorf("%s/%s: handled %+v, %d answers", c.Class, c.Name, got, len(answers))
		}
	}
}

// An upgrade that the handler carries out, with bytes that the client sends early and late.
func TestServerSwitches(t *testing.T) {
	t.Parallel()
	address := serve(t, 0, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.(verified).reader.Passthrough()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		io.CopyN(conn, buffered, int64(len("\x00\n early\x00\r late")))
	}))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n\x00\n early")
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	io.WriteString(conn, "\x00\r late")
	got, err := io.ReadAll(r)
	if answer.StatusCode != http.StatusSwitchingProtocols || string(got) != "\x00\n early\x00\r late" || err != nil {
		t.Errorf("%s, echo %q, %v", answer.Status, got, err)
	}
}
