package failover

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/eastway/eastway/internal/status"
)

// TestOddHTTP2Requests: what an endpoint cannot be sent is refused at once, and is no failure of endpoints.
func TestOddHTTP2Requests(t *testing.T) {
	t.Parallel()
	const byServer = "reset PROTOCOL_ERROR" // net/http's
	for name, c := range map[string]struct {
		fields [][2]string // instead of the usual, by name; empty values leave a field out
		want   string
	}{
		"usual":                    {nil, "200"},
		"no authority":             {[][2]string{{":authority", ""}}, "400"},
		"authority with a port":    {[][2]string{{":authority", "shop:80"}}, "200"},
		"authority with user":      {[][2]string{{":authority", "a@shop"}}, byServer},
		"authority with a space":   {[][2]string{{":authority", "shop shop"}}, "400"},
		"authority with a slash":   {[][2]string{{":authority", "shop/x"}}, "400"},
		"authority that is no IP":  {[][2]string{{":authority", "[::1"}}, "400"},
		"authority with a percent": {[][2]string{{":authority", "sh%6fp"}}, "400"},
		"another Host":             {[][2]string{{"host", "b"}}, "200"},
		"method with a space":      {[][2]string{{":method", "GE T"}}, "400"},
		"method with a slash":      {[][2]string{{":method", "GET/"}}, "400"},
		"path with a space":        {[][2]string{{":path", "/a b"}}, "400"},
		"path that is none":        {[][2]string{{":path", "a"}}, byServer},
		"path *":                   {[][2]string{{":path", "*"}}, "400"},
		"path with bytes":          {[][2]string{{":path", "/\xff\x80"}}, "400"},
		"te":                       {[][2]string{{"te", "gzip"}}, "400 by the server"},
		"connection":               {[][2]string{{"connection", "close"}}, "400 by the server"},
		"transfer-encoding":        {[][2]string{{"transfer-encoding", "chunked"}}, "400 by the server"},
		"trailer of a length":      {[][2]string{{"trailer", "content-length"}}, "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, overHTTP, webs(here, says("near")), webs(beside, says("far")))
			want, _, _ := strings.Cut(c.want, " by the server")
			if got := w.rawHTTP2(c.fields); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			for _, e := range w.proxy.Endpoints(echoName) {
				if e.OutlierCheck != status.CheckOK {
					t.Errorf("%s: %s", e.Address, e.OutlierCheck)
				}
			}
			if c.want == "400" && len(results(w.line())) > 0 {
				t.Errorf("tried: %v", results(w.line()))
			}
		})
	}
}

// rawHTTP2 sends one request and returns the status, or how it ends without one.
func (w *world) rawHTTP2(fields [][2]string) string {
	w.t.Helper()
	conn := w.dial()
	defer conn.Close()
	f := http2.NewFramer(conn, conn)
	var head strings.Builder
	enc := hpack.NewEncoder(&head)
	usual := [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "shop"}}
	for _, field := range fields {
		if i := indexOf(usual, field[0]); i >= 0 {
			usual[i][1] = field[1]
		} else {
			usual = append(usual, field)
		}
	}
	for _, field := range usual {
		if field[1] == "" {
			continue
		}
		if err := enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			w.t.Fatal(err)
		}
	}
	_, err := io.WriteString(conn, http2.ClientPreface)
	err = errors.Join(err, f.WriteSettings(), f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: []byte(head.String()), EndStream: true, EndHeaders: true,
	}))
	if err != nil {
		w.t.Fatal(err)
	}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return fmt.Sprint("reset ", frame.ErrCode)
		case *http2.GoAwayFrame:
			return fmt.Sprint("GOAWAY ", frame.ErrCode)
		}
	}
}

func indexOf(fields [][2]string, name string) int {
	for i := range fields {
		if fields[i][0] == name {
			return i
		}
	}
	return -1
}
