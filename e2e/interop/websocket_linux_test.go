package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

const (
	// protocol is the subprotocol that both sides speak.
	protocol = "echo.example"
	// sockets are open at a time.
	sockets = 100
)

// echoMessages sends every message back, and closes with the code that the client closes with.
func echoMessages(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{Subprotocols: []string{protocol}}
	conn, err := upgrader.Upgrade(w, r, http.Header{"X-Target": {r.RequestURI}})
	if err != nil {
		return // it has answered
	}
	defer conn.Close()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return // the library has answered the close
		}
		if err := conn.WriteMessage(kind, message); err != nil {
			return
		}
	}
}

// testWebSocket: connections that are all open at a time, with messages of each kind and size, pings, and close codes.
func testWebSocket(t *testing.T, s service) {
	var open errgroup.Group
	opened := make(chan struct{})
	together := make(chan struct{})
	for i := range sockets {
		open.Go(func() error {
			conn, err := dialSocket(s.near, fmt.Sprintf("/chat/%d?a=%%zz", i))
			opened <- struct{}{}
			if err != nil {
				return err
			}
			defer conn.Close()
			<-together
			if err := talk(conn, i); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			return nil
		})
	}
	for range sockets {
		<-opened
	}
	close(together)
	must(t, open.Wait())
}

func dialSocket(address, target string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{HandshakeTimeout: patience, Subprotocols: []string{"other.example", protocol}}
	conn, resp, err := dialer.Dial("ws://"+address+target, nil)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	defer resp.Body.Close()
	if conn.Subprotocol() != protocol || resp.Header.Get("X-Target") != target {
		return nil, errors.Join(fmt.Errorf("answer to %s: %s", target, resp.Header), conn.Close())
	}
	err = conn.SetReadDeadline(time.Now().Add(patience))
	return conn, err
}

// talk to the endpoint and close with a code that depends on i.
func talk(conn *websocket.Conn, i int) error {
	sizes := []int{0, 1, 125, 126, 65535, 65536}
	if i%10 == 0 {
		sizes = append(sizes, 1<<20)
	}
	for _, size := range sizes {
		for kind, message := range map[int][]byte{
			websocket.TextMessage: bytes.Repeat([]byte("é"), size/2), websocket.BinaryMessage: pattern(size),
		} {
			if err := conn.WriteMessage(kind, message); err != nil {
				return err
			}
			k, got, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			if k != kind || !bytes.Equal(got, message) {
				return fmt.Errorf("sent %d bytes of kind %d, got %d of kind %d", len(message), kind, len(got), k)
			}
		}
	}
	if err := ping(conn); err != nil {
		return err
	}
	code := []int{websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseProtocolError, 4999}[i%4]
	return leave(conn, code)
}

// ping and get the same back, before the message behind it.
func ping(conn *websocket.Conn) error {
	var pongs []string
	conn.SetPongHandler(func(data string) error {
		pongs = append(pongs, data)
		return nil
	})
	if err := conn.WriteControl(websocket.PingMessage, []byte("one"), time.Now().Add(patience)); err != nil {
		return err
	}
	if err := conn.WriteMessage(websocket.TextMessage, nil); err != nil {
		return err
	}
	if _, _, err := conn.ReadMessage(); err != nil {
		return err
	}
	if !slices.Equal(pongs, []string{"one"}) {
		return fmt.Errorf("pongs %q", pongs)
	}
	return nil
}

// leave closes the connection; the other end has to answer with the same code and then end it.
func leave(conn *websocket.Conn, code int) error {
	if err := conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "bye"), time.Now().Add(patience)); err != nil {
		return err
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, code) {
		return fmt.Errorf("closed with %d, got %w", code, err)
	}
	if n, err := conn.NetConn().Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the close: %d bytes, %w", n, err)
	}
	return nil
}
