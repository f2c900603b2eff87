package health

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serveGRPC serves HTTP/2 without TLS until the test ends.
func serveGRPC(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = s.Shutdown(context.WithoutCancel(t.Context()))
		<-done
	})
	return netip.MustParseAddrPort(ln.Addr().String())
}

// message is one of gRPC.
func message(content ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(content))), content...)
}

// reply answers with messages and a status in the trailers.
func reply(status string, messages ...[]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		for _, m := range messages {
			_, _ = w.Write(m)
		}
		w.Header().Set("Grpc-Status", status)
	}
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve   http.HandlerFunc
		timeout time.Duration
		want    string
	}{
		"SERVING":         {reply("0", message(8, 1)), patience, ""},
		"UNKNOWN":         {reply("0", message()), patience, "gRPC health: UNKNOWN"},
		"NOT_SERVING":     {reply("0", message(8, 2)), patience, "gRPC health: NOT_SERVING"},
		"SERVICE_UNKNOWN": {reply("0", message(8, 3)), patience, "gRPC health: SERVICE_UNKNOWN"},
		"unknown fields":  {reply("0", message(0x12, 1, 'x', 8, 1, 0x1d, 1, 2, 3, 4)), patience, ""},
		"UNIMPLEMENTED": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Grpc-Status", "12")
		}, patience, "gRPC health: status 12 (UNIMPLEMENTED)"},
		"UNAVAILABLE after SERVING": {reply("14", message(8, 1)), patience, "gRPC health: status 14 (UNAVAILABLE)"},
		"no status": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(message(8, 1))
		}, patience, "gRPC health: the answer is not gRPC"},
		"404": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
		}, patience, "gRPC health: HTTP status 404"},
		"two messages": {reply("0", message(8, 1), message(8, 1)), patience, "gRPC health: the answer is not one plain message"},
		"compressed":   {reply("0", []byte{1, 0, 0, 0, 2, 8, 1}), patience, "gRPC health: the answer is not one plain message"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(bytes.Repeat(message(8, 1), 1000)); err != nil {
					return
				}
			}
		}, patience, "gRPC health: the answer is not gRPC"},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, silence, "gRPC health: no answer within 200ms"},
		"no trailers": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(message(8, 1))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, silence, "gRPC health: no answer within 200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := verdict(t, &plan{kind: kindGRPC, timeout: c.timeout}, serveGRPC(t, c.serve)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		at := listen(t, answer("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
		if got := verdict(t, &plan{kind: kindGRPC, timeout: patience}, at); got == "" {
			t.Error("it passed")
		}
	})
}

// The call is that of the health checking protocol.
func TestGRPCRequest(t *testing.T) {
	t.Parallel()
	type request struct{ line, body string }
	got := make(chan request, 1)
	at := serveGRPC(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		line := []string{r.Proto, r.Method, r.RequestURI, r.Host, r.Header.Get("Content-Type"), r.Header.Get("Te")}
		got <- request{strings.Join(line, " "), string(body)}
		reply("0", message(8, 1))(w, r)
	})
	for _, c := range []struct {
		p    plan
		want request
	}{
		{plan{}, request{at.String(), "\x00\x00\x00\x00\x00"}},
		{plan{authority: "shop", service: "a.B"}, request{"shop", "\x00\x00\x00\x00\x05\x0a\x03a.B"}},
	} {
		c.p.kind, c.p.timeout = kindGRPC, patience
		if reason := verdict(t, &c.p, at); reason != "" {
			t.Error(reason)
		}
		c.want.line = "HTTP/2.0 POST /grpc.health.v1.Health/Check " + c.want.line + " application/grpc trailers"
		if r := <-got; r != c.want {
			t.Errorf("%q, want %q", r, c.want)
		}
	}
}

func FuzzGRPCAnswer(f *testing.F) {
	f.Add(message(8, 1))
	f.Add(message(0x12, 1, 'x', 8, 2))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 8})
	f.Fuzz(func(t *testing.T, body []byte) {
		serving, err := grpcAnswer(body)
		if err != nil && serving == grpcServing {
			t.Errorf("%x serves, but: %v", body, err)
		}
	})
}
