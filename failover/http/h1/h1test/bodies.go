package h1test

import (
	"fmt"
	"strings"
)

func chunkSizes() []Case {
	var cases []Case
	for _, size := range []string{
		"", " ", "x", "0x3", "+3", "-3", " 3", "3 ", "3 4", "3\t", "3,", "3_", "g", "\xb3", "38 ;a",
		"8000000000000000", "ffffffffffffffff", "10000000000000003", "00000000000000003",
	} {
		cases = append(cases, Case{
			Name: "size " + size, Input: chunked + size + "\r\nabc\r\n0\r\n\r\n" + smuggled, Requests: 1, Reason: "chunk-size",
		})
	}
	for _, size := range []string{"3", "03", "0000000000000003"} {
		cases = append(cases, Case{Name: "size " + size, Input: chunked + size + "\r\nabc\r\n0\r\n\r\n" + get(), Requests: 2})
	}
	return append(
		cases,
		Case{Name: "bare LF", Input: chunked + "3\nabc\r\n0\r\n\r\n", Requests: 1, Reason: "bare-lf"},
		Case{Name: "bare CR", Input: chunked + "3\rabc\r\n0\r\n\r\n", Requests: 1, Reason: "bare-cr"},
		Case{Name: "CR before CRLF", Input: chunked + "3\r\r\nabc\r\n0\r\n\r\n", Requests: 1, Reason: "bare-cr"},
		Case{Name: "NUL", Input: chunked + "3\x00\r\nabc\r\n0\r\n\r\n", Requests: 1, Reason: "control-byte"},
		Case{Name: "last chunk with LF", Input: chunked + "0\n\r\n" + smuggled, Requests: 1, Reason: "bare-lf"},
		Case{Name: "largest", Input: chunked + "3ffffffffffffff7\r\nabc", Requests: 1, Endless: true},
		// net/http doubles a size when it compares it with the chunk's overhead, and takes this one for below none.
		Case{Name: "too large to double", Input: chunked + "7000000000000000\r\nabc", Requests: 1, Reason: "chunk-size"},
	)
}

func chunkExtensions() []Case {
	var cases []Case
	for _, c := range []struct{ extension, reason string }{
		{";\n", "bare-lf"},
		{";a\nxx\r\n4c", "bare-lf"},
		{";a\r4c", "bare-cr"},
		{";a=\"b\nc\"", "bare-lf"},
		{";a\x00", "control-byte"},
		{";", "chunk-extension"},
		{";;a", "chunk-extension"},
		{"; a", "chunk-extension"},
		{";a =b", "chunk-extension"},
		{";a=", "chunk-extension"},
		{";a=\"b", "chunk-extension"},
		{";a=\"b\\\"", "chunk-extension"},
		{";a=\"b\"c", "chunk-extension"},
		{";a=b c", "chunk-extension"},
		{";a\xe4", "chunk-extension"},
		{";a=" + strings.Repeat("b", 300), "chunk-line"},
	} {
		name := fmt.Sprintf("%.16q", c.extension)
		cases = append(cases, Case{Name: name, Input: chunked + "3" + c.extension + "\r\nabc\r\n0\r\n\r\n" + smuggled, Requests: 1, Reason: c.reason})
	}
	for _, extension := range []string{";a", ";a=b", ";a=\"b;\\\"c d\"", ";a;b=c;d=\"\""} {
		cases = append(cases, Case{Name: extension, Input: chunked + "3" + extension + "\r\nabc\r\n0" + extension + "\r\n\r\n" + get(), Requests: 2})
	}
	some := strings.Repeat("1;a="+strings.Repeat("b", 240)+"\r\nx\r\n", 60)
	data := "4000\r\n" + strings.Repeat("x", 16<<10) + "\r\n"
	return append(
		cases,
		Case{Name: "much of it", Input: chunked + some + some + "0\r\n\r\n", Requests: 1, Reason: "chunk-overhead"},
		Case{Name: "much of it after data", Input: chunked + data + some + some + "0\r\n\r\n", Requests: 1, Reason: "chunk-overhead"},
		Case{Name: "some in each body", Input: strings.Repeat(chunked+some+"0\r\n\r\n", 2), Requests: 2},
	)
}

func chunkEnds() []Case {
	const reason = "chunk-end"
	return []Case{
		{Name: "missing", Input: chunked + "3\r\nabc0\r\n\r\n" + smuggled, Requests: 1, Reason: reason},
		{Name: "longer than its size", Input: chunked + "3\r\nabcd\r\n0\r\n\r\n", Requests: 1, Reason: reason},
		{Name: "two other bytes", Input: chunked + "3\r\nabcxx0\r\n\r\n" + smuggled, Requests: 1, Reason: reason},
		{Name: "LF", Input: chunked + "3\r\nabc\n0\r\n\r\n" + smuggled, Requests: 1, Reason: reason},
		{Name: "CR", Input: chunked + "3\r\nabc\r0\r\n\r\n" + smuggled, Requests: 1, Reason: reason},
		{Name: "LF CR", Input: chunked + "3\r\nabc\n\r0\r\n\r\n" + smuggled, Requests: 1, Reason: reason},
		{Name: "twice", Input: chunked + "3\r\nabc\r\n\r\n0\r\n\r\n" + smuggled, Requests: 1, Reason: "chunk-size"},
	}
}

func trailers() []Case {
	const last = chunked + "3\r\nabc\r\n0\r\n"
	var cases []Case
	for _, name := range []string{
		"Content-Length", "content_length", "Transfer-Encoding", "HOST", "Connection", "Trailer", "TE", "Upgrade", "Expect", "Authorization",
		"Cookie", "Content-Type", "Content-Encoding", "Proxy-Connection", "Keep-Alive",
	} {
		cases = append(
			cases,
			Case{Name: name, Input: last + name + ": 5\r\n\r\n" + smuggled, Requests: 1, Reason: "trailer-field"},
			Case{
				Name:   name + " announced",
				Input:  head("POST /a HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-A ,"+name) + "0\r\n\r\n",
				Reason: "trailer-field",
			},
		)
	}
	for _, c := range []struct{ name, trailer, reason string }{
		{"bare LF", "X-A: b\n\r\n", "bare-lf"},
		{"bare LF as the empty line", "\n" + smuggled, "bare-lf"},
		{"bare CR", "X-A: b\r\rc\r\n\r\n", "bare-cr"},
		{"fold", "X-A: b\r\n c\r\n\r\n", "obs-fold"},
		{"no colon", "X-A\r\n\r\n", "no-colon"},
		{"a request", smuggled, "field-space"},
		{"space before the colon", "X-A : b\r\n\r\n", "field-space"},
		{"name", "X{A: b\r\n\r\n", "field-name"},
		{"NUL", "X-A: \x00\r\n\r\n", "control-byte"},
		{"too many", strings.Repeat("A: b\r\n", 101) + "\r\n", "too-many-fields"},
		{"too large", strings.Repeat("A: "+strings.Repeat("b", 200)+"\r\n", 20) + "\r\n", "trailer-too-large"},
	} {
		cases = append(cases, Case{Name: c.name, Input: last + c.trailer + smuggled, Requests: 1, Reason: c.reason})
	}
	return append(
		cases,
		Case{Name: "not announced", Input: last + "X-A: b\r\nx-a:\r\n\r\n" + get(), Requests: 2},
		Case{
			Name:     "announced",
			Input:    head("POST /a HTTP/1.1", "Trailer: X-A, X-B", "Transfer-Encoding: chunked") + "0\r\nX-B: c\r\n\r\n" + get(),
			Requests: 2,
		},
	)
}

func hopByHop() []Case {
	const reason = "connection-option"
	return []Case{
		{Name: "length", Input: post("Content-Length: 43", "Connection: content-length"), Reason: reason},
		{Name: "encoding", Input: post("Connection: close, Transfer-Encoding", "Transfer-Encoding: chunked"), Reason: reason},
		{Name: "host", Input: get("Connection: keep-alive,,\thost"), Reason: reason},
		{Name: "other", Input: get("Connection: close, X-A"), Requests: 1},
	}
}

func upgrades() []Case {
	return []Case{
		// A server that ignores the upgrade must not take what follows for requests.
		{Name: "websocket", Input: get("Connection: keep-alive, Upgrade", "Upgrade: websocket") + "\x81\x05hello\n\x00", Requests: 1},
		{
			Name:     "after a body",
			Input:    head("POST /a HTTP/1.1", "Connection: upgrade", "Upgrade: x/1", "Content-Length: 3") + "abc\x00\r\n",
			Requests: 1,
		},
		{Name: "h2c", Input: get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk") + get(), Requests: 2},
		{
			Name:     "h2c, then a bad request",
			Input:    get("Connection: Upgrade", "Upgrade: h2c") + "GET " + Smuggled + "\r\n\r\n",
			Requests: 1, Reason: "request-line", Status: badRequest,
		},
		{Name: "not in Connection", Input: get("Upgrade: websocket") + get("A : b"), Requests: 1, Reason: "field-space", Status: badRequest},
		{
			Name:     "HTTP/1.0",
			Input:    head("GET /a HTTP/1.0", "Connection: upgrade, keep-alive", "Upgrade: websocket") + get("A : b"),
			Requests: 1, Reason: "field-space", Status: badRequest,
		},
	}
}

func emptyLines() []Case {
	const reason = "empty-lines"
	return []Case{
		{Name: "one", Input: "\r\n" + get(), Requests: 1},
		{Name: "one before each", Input: "\r\n" + head("POST /a HTTP/1.1", "Content-Length: 3") + "abc\r\n" + get() + "\r\n" + get(), Requests: 3},
		{Name: "two", Input: "\r\n\r\n" + get(), Reason: reason},
		{Name: "two between", Input: get() + "\r\n\r\n" + get(), Requests: 1, Reason: reason, Status: badRequest},
		{Name: "LF", Input: "\n" + get(), Reason: "bare-lf"},
		{Name: "CR", Input: "\r" + get(), Reason: "bare-cr"},
		{Name: "space", Input: " \r\n" + get(), Reason: "request-line"},
	}
}

func sizes() []Case {
	many := func(n int) []string { return strings.Split(strings.Repeat("X-A: b\n", n-1), "\n")[:n-1] } // beside Host
	return []Case{
		{Name: "many fields", Input: get(many(100)...), Requests: 1},
		{Name: "too many fields", Input: get(many(101)...), Reason: "too-many-fields", Status: tooLarge},
		{Name: "large field", Input: get("X-A: " + strings.Repeat("b", 59<<10)), Requests: 1},
		{Name: "field too large", Input: get("X-A: " + strings.Repeat("b", 61<<10)), Reason: "head-too-large", Status: tooLarge},
		{Name: "target too large", Input: head("GET /" + strings.Repeat("b", 61<<10) + " HTTP/1.1"), Reason: "head-too-large", Status: tooLarge},
		{Name: "after a good one", Input: get() + get(many(2000)...), Requests: 1, Reason: "too-many-fields", Status: tooLarge},
	}
}

func valid() []Case {
	return []Case{
		{Name: "one", Input: get(), Requests: 1},
		{Name: "pipeline", Input: strings.Repeat(get(), 5), Requests: 5},
		{
			Name: "pipeline with bodies",
			Input: strings.Repeat(head("PUT /a HTTP/1.1", "Content-Length: 3")+"abc"+
				chunked+"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 3),
			Requests: 6,
		},
		{Name: "values", Input: get("X-A:", "X-B: \t", "X-C:b", "X-D: \xff\xc3\xa4 \t x", "Cookie: a=b; c=\"d\""), Requests: 1},
		{Name: "length zero", Input: head("POST /a HTTP/1.1", "Content-Length: 0") + get(), Requests: 2},
		{Name: "length with zeros", Input: head("POST /a HTTP/1.1", "Content-Length: 0003") + "abc" + get(), Requests: 2},
		{
			Name:     "body of a request",
			Input:    head("POST /a HTTP/1.1", "Content-Length: 45") + "GET /body HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n" + get(),
			Requests: 2,
		},
		{Name: "HTTP/1.0", Input: head("GET /a HTTP/1.0", "Connection: keep-alive") + get(), Requests: 2},
	}
}
