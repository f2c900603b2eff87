package h1test

import "strings"

// Smuggled is the path of each request that no server may ever see.
const Smuggled = "/smuggled"

// Case is what one connection sends.
type Case struct {
	Class string
	Name  string
	Input string
	// Requests that a strict proxy passes on, whole or up to the violation in the body of the last one.
	Requests int
	// Reason why it refuses what follows them: the label of an h1.Reason, or empty.
	Reason string
	// Endless: the body of the last request does not end.
	Endless bool
	// Status of the answer in place of the request that is refused; 0 if a body is cut, or all is valid.
	Status int
}

const (
	badRequest = 400
	tooLarge   = 431
)

// smuggled is a request that an attacker hides.
const smuggled = "GET " + Smuggled + " HTTP/1.1\r\nHost: a.example\r\n\r\n"

// bodyLength is a field for a body that is this request.
const bodyLength = "Content-Length: 43"

// chunked begins a request with such a body.
const chunked = "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"

// get is a request with these fields.
func get(fields ...string) string { return head("GET /a HTTP/1.1", fields...) }

// post is one with these fields, and a body that is a request for a parser that does not see it as a body.
func post(fields ...string) string { return head("POST /a HTTP/1.1", fields...) + smuggled }

// head is a request line and fields, with a Host first.
func head(line string, fields ...string) string {
	return bare(line, append([]string{"Host: a.example"}, fields...)...)
}

// bare is a request line and fields.
func bare(line string, fields ...string) string {
	return strings.Join(append([]string{line}, fields...), "\r\n") + "\r\n\r\n"
}

// Cases are all of them.
func Cases() []Case {
	var all []Case
	for _, class := range []struct {
		name  string
		cases []Case
	}{
		{"CL.TE, TE.CL", lengthAndEncoding()},
		{"TE.TE", encodings()},
		{"CL.CL", lengths()},
		{"CL.0", ignoredBodies()},
		{"line ends", lineEnds()},
		{"obs-fold", folds()},
		{"field names", names()},
		{"header injection", injections()},
		{"Host", hosts()},
		{"request line", requestLines()},
		{"chunk size", chunkSizes()},
		{"chunk extension", chunkExtensions()},
		{"chunk end", chunkEnds()},
		{"trailers", trailers()},
		{"hop by hop", hopByHop()},
		{"upgrade", upgrades()},
		{"empty lines", emptyLines()},
		{"size", sizes()},
		{"valid", valid()},
	} {
		for _, c := range class.cases {
			c.Class = class.name
			if c.Reason != "" && c.Requests == 0 && c.Status == 0 {
				c.Status = badRequest
			}
			all = append(all, c)
		}
	}
	return all
}

func lengthAndEncoding() []Case {
	const reason = "length-and-encoding"
	return []Case{
		{Name: "CL.TE", Input: head("POST /a HTTP/1.1", "Content-Length: 48", "Transfer-Encoding: chunked") + "0\r\n\r\n" + smuggled, Reason: reason},
		{
			Name:   "TE.CL",
			Input:  head("POST /a HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 4") + "2b\r\n" + smuggled + "\r\n0\r\n\r\n",
			Reason: reason,
		},
		{Name: "length zero", Input: post("Content-Length: 0", "Transfer-Encoding: chunked"), Reason: reason},
		{Name: "other case", Input: post("cONTENT-lENGTH: 3", "tRANSFER-eNCODING: CHUNKED"), Reason: reason},
		{Name: "HTTP/1.0", Input: head("POST /a HTTP/1.0", "Transfer-Encoding: chunked") + "0\r\n\r\n", Reason: "transfer-encoding-http10"},
		{
			Name:   "HTTP/1.0 with length",
			Input:  head("POST /a HTTP/1.0", "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n",
			Reason: "transfer-encoding-http10",
		},
		{Name: "GET", Input: get("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", Reason: reason},
	}
}

func encodings() []Case {
	var cases []Case
	for _, value := range []string{
		"", "identity", "gzip", "xchunked", "chunkedx", "chunked, identity", "gzip, chunked",
		"chunked,", ",chunked", "chunked;a=b", "\"chunked\"", "'chunked'",
		"chunked chunked", "chunked, chunked", "chun\tked", "\tchunked", "chunked\t", "\x85chunked", "chunked\xa0", "c\xe8unked", "chu\u212aed",
	} {
		cases = append(cases, Case{Name: "value " + value, Input: post("Transfer-Encoding: " + value), Reason: "transfer-encoding"})
	}
	return append(
		cases,
		Case{Name: "vertical tab", Input: post("Transfer-Encoding: \vchunked"), Reason: "control-byte"},
		Case{Name: "NUL", Input: post("Transfer-Encoding: chunked\x00"), Reason: "control-byte"},
		Case{Name: "bare CR before the value", Input: post("Transfer-Encoding: \rchunked"), Reason: "bare-cr"},
		Case{Name: "folded value", Input: post("Transfer-Encoding:", " chunked"), Reason: "transfer-encoding"},
		Case{Name: "twice", Input: post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), Reason: "transfer-encoding"},
		Case{Name: "second one unknown", Input: post("Transfer-Encoding: chunked", "Transfer-Encoding: x"), Reason: "transfer-encoding"},
		Case{Name: "first one unknown", Input: post("Transfer-Encoding: x", "Transfer-Encoding: chunked"), Reason: "transfer-encoding"},
		Case{Name: "space before the colon", Input: post("Transfer-Encoding : chunked"), Reason: "field-space"},
		Case{Name: "underscore", Input: post("Transfer_Encoding: chunked"), Reason: "field-alias"},
		Case{Name: "mixed underscore", Input: post("Content-Length: 3", "TRANSFER_ENCODING: chunked"), Reason: "field-alias"},
		Case{Name: "spaces around", Input: head("POST /a HTTP/1.1", "Transfer-Encoding:   chunked  ") + "0\r\n\r\n", Requests: 1},
		Case{Name: "no space", Input: head("POST /a HTTP/1.1", "Transfer-Encoding:Chunked") + "0\r\n\r\n", Requests: 1},
	)
}

func lengths() []Case {
	var cases []Case
	for _, value := range []string{
		"", "+3", "-3", "-0", "3.", "3.0", "0x3", "3e1", "3 4", "3,4", "3, 3", "3,", ",3", "three", "3;", "\"3\"", "3_0", "\t43", "43\t", "\xb3",
		"9223372036854775808", "18446744073709551619", "99999999999999999999", strings.Repeat("0", 40) + "3",
	} {
		cases = append(cases, Case{Name: "value " + value, Input: post("Content-Length: " + value), Reason: "content-length"})
	}
	return append(
		cases,
		Case{Name: "two values", Input: post("Content-Length: 0", "Content-Length: 43"), Reason: "content-length-duplicate"},
		Case{Name: "the same twice", Input: post("Content-Length: 3", "Content-Length: 3"), Reason: "content-length-duplicate"},
		Case{Name: "another case", Input: post("content-length: 0", "X-A: b", "CONTENT-LENGTH: 43"), Reason: "content-length-duplicate"},
		Case{Name: "underscore", Input: post("Content_Length: 43"), Reason: "field-alias"},
		Case{Name: "space before the colon", Input: post("Content-Length : 43"), Reason: "field-space"},
		Case{Name: "NUL", Input: post("Content-Length: 4\x003"), Reason: "control-byte"},
		Case{Name: "form feed", Input: post("Content-Length:\f43"), Reason: "control-byte"},
	)
}

// ignoredBodies are valid: a server behind must not be one that ignores a body and keeps the connection.
func ignoredBodies() []Case {
	var cases []Case
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "POST", "UNKNOWN"} {
		cases = append(cases, Case{Name: method, Input: head(method+" /a HTTP/1.1", bodyLength) + smuggled + get(), Requests: 2})
	}
	return append(
		cases,
		Case{Name: "GET with chunks", Input: get("Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n" + get(), Requests: 2},
		Case{Name: "expectation", Input: head("POST /a HTTP/1.1", bodyLength, "Expect: 100-continue") + smuggled + get(), Requests: 2},
	)
}

func lineEnds() []Case {
	return []Case{
		{Name: "LF after the request line", Input: "GET /a HTTP/1.1\nHost: a.example\r\n\r\n", Reason: "bare-lf"},
		{Name: "LF after a field", Input: "GET /a HTTP/1.1\r\nHost: a.example\n\r\n", Reason: "bare-lf"},
		{Name: "LF as the empty line", Input: "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 43\r\n\n" + smuggled, Reason: "bare-lf"},
		{Name: "LF everywhere", Input: "GET /a HTTP/1.1\nHost: a.example\n\n", Reason: "bare-lf"},
		{Name: "LF before CRLF", Input: get("X-A: b\n"), Reason: "bare-lf"},
		{Name: "LF hides a field", Input: post("X-A: b\nTransfer-Encoding: chunked"), Reason: "bare-lf"},
		{Name: "CR hides a field", Input: post("X-A: b\rTransfer-Encoding: chunked"), Reason: "bare-cr"},
		{Name: "CR before CRLF", Input: get("X-A: b\r"), Reason: "bare-cr"},
		{Name: "CR in the request line", Input: head("GET /a\r HTTP/1.1"), Reason: "bare-cr"},
		{Name: "CR ends the head", Input: "GET /a HTTP/1.1\r\nHost: a.example\r\n\r" + smuggled, Reason: "bare-cr"},
		{Name: "CR after the version", Input: "GET /a HTTP/1.1\r\r\nHost: a.example\r\n\r\n", Reason: "bare-cr"},
	}
}

func folds() []Case {
	return []Case{
		{Name: "space", Input: post("X-A: b", " Content-Length: 43"), Reason: "obs-fold"},
		{Name: "tab", Input: post("X-A: b", "\tTransfer-Encoding: chunked"), Reason: "obs-fold"},
		{Name: "only spaces", Input: get("X-A: b", "  "), Reason: "obs-fold"},
		{Name: "after the request line", Input: bare("GET /a HTTP/1.1", " Host: b.example", "Host: a.example"), Reason: "obs-fold"},
		{Name: "of the length", Input: post("Content-Length: 4", " 3"), Reason: "obs-fold"},
	}
}

func names() []Case {
	return []Case{
		{Name: "space before the colon", Input: get("X-A : b"), Reason: "field-space"},
		{Name: "tab before the colon", Input: get("X-A\t: b"), Reason: "field-space"},
		{Name: "space inside", Input: post("Content Length: 43"), Reason: "field-space"},
		{Name: "no colon", Input: get("X-A"), Reason: "no-colon"},
		{Name: "no name", Input: get(": b"), Reason: "field-name"},
		{Name: "pseudo-header of HTTP/2", Input: get(":path: " + Smuggled), Reason: "field-name"},
		{Name: "no name, a second colon", Input: post(":Transfer-Encoding: chunked"), Reason: "field-name"},
		{Name: "NUL", Input: post("Transfer-Encoding\x00: chunked"), Reason: "control-byte"},
		{Name: "high byte", Input: get("X-\xc3\xa4: b"), Reason: "field-name"},
		{Name: "semicolon", Input: get("X;A: b"), Reason: "field-name"},
		{Name: "parentheses", Input: get("X(A): b"), Reason: "field-name"},
		{Name: "byte order mark", Input: post("\xef\xbb\xbfContent-Length: 43"), Reason: "field-name"},
		{Name: "quoted", Input: get("\"X-A\": b"), Reason: "field-name"},
		{Name: "all of a token", Input: get("!#$%&'*+-.^_`|~09azAZ: b"), Requests: 1},
	}
}

func injections() []Case {
	return []Case{
		{Name: "CRLF from an escape is no CRLF", Input: head("GET /a%0d%0aX-A:%20b HTTP/1.1"), Requests: 1},
		{Name: "LF in a value", Input: get("X-A: b\nX-Forwarded-For: 127.0.0.1"), Reason: "bare-lf"},
		{Name: "NUL in a value", Input: get("X-A: b\x00c"), Reason: "control-byte"},
		{Name: "DEL in a value", Input: get("X-A: b\x7f"), Reason: "control-byte"},
		{Name: "escape in a value", Input: get("X-A: \x1b[2J"), Reason: "control-byte"},
		{Name: "backspace in a name", Input: get("X\b: b"), Reason: "control-byte"},
		{Name: "LF in the target", Input: head("GET /a\nX-A: HTTP/1.1"), Reason: "bare-lf"},
		{Name: "unicode line separator", Input: get("X-A: b\u2028X-B: c"), Requests: 1}, // bytes of a value like any other
		{Name: "bytes that a codepage cuts to CRLF", Input: get("X-A: b\u560d\u560aX-B: c"), Requests: 1},
	}
}

func hosts() []Case {
	cases := []Case{
		{Name: "missing", Input: bare("GET /a HTTP/1.1", "X-A: b"), Reason: "host-missing"},
		{Name: "no fields", Input: bare("GET /a HTTP/1.1"), Reason: "host-missing"},
		{Name: "two", Input: get("Host: b.example"), Reason: "host-duplicate"},
		{Name: "the same twice", Input: get("Host: a.example"), Reason: "host-duplicate"},
		{Name: "other case", Input: get("hOST: b.example"), Reason: "host-duplicate"},
		{Name: "two in HTTP/1.0", Input: head("GET /a HTTP/1.0", "Host: b.example"), Reason: "host-duplicate"},
		{Name: "space before the colon", Input: get("Host : b.example"), Reason: "field-space"},
		{Name: "another in the target", Input: head("GET http://b.example/a HTTP/1.1"), Reason: "host-mismatch"},
		{Name: "another port in the target", Input: head("GET http://a.example:81/a HTTP/1.1"), Reason: "host-mismatch"},
		{Name: "none beside that of the target", Input: bare("GET http://a.example/a HTTP/1.1"), Reason: "host-missing"},
		{Name: "none in HTTP/1.0", Input: bare("GET /a HTTP/1.0"), Requests: 1},
		{Name: "that of the target", Input: head("GET HTTP://A.example:80/a HTTP/1.1"), Requests: 1},
		{Name: "https target", Input: head("GET https://a.example:443 HTTP/1.1"), Requests: 1},
		{Name: "query after the authority", Input: head("GET http://a.example?a=/b HTTP/1.1"), Requests: 1},
	}
	for _, host := range []string{
		"", "a.example, b.example", "a b", "user@a.example", "a.example/b", "a.example:", "a.example:x", "a.example:65536",
		"a.example:000080", ":80", "a:1:2", "::1", "[::1", "[::1]x", "[127.0.0.1]", "[fe80::1%25eth0]", "[]",
		"a.example#", "a.example?b", "a\\b", "a%2eb", "b\xc3\xbccher.example", "a;b", "a\tb", "\ta", "a\t",
	} {
		cases = append(cases, Case{Name: "value " + host, Input: bare("GET /a HTTP/1.1", "Host: "+host), Reason: "host-invalid"})
	}
	for _, host := range []string{"a", "A.example.", "a_b.c-d", "10.0.0.1:8080", "[::1]", "[2001:db8::1]:65535", "a.example:0", "  a  "} {
		cases = append(cases, Case{Name: "value " + host, Input: bare("GET /a HTTP/1.1", "Host: "+host), Requests: 1})
	}
	return cases
}

func requestLines() []Case {
	var cases []Case
	for _, c := range []struct{ line, reason string }{
		{"GET /a", "request-line"}, // HTTP/0.9
		{"GET", "request-line"},
		{" GET /a HTTP/1.1", "request-line"},
		{"GET  /a HTTP/1.1", "request-line"},
		{"GET /a  HTTP/1.1", "request-line"},
		{"GET /a HTTP/1.1 ", "request-line"},
		{"GET /a b HTTP/1.1", "request-line"},
		{"GET  HTTP/1.1", "request-line"},
		{"GET\t/a HTTP/1.1", "method"},
		{"GET /a\tHTTP/1.1", "request-line"},
		{"G{T /a HTTP/1.1", "method"},
		{"G\xc9T /a HTTP/1.1", "method"},
		{"\"GET\" /a HTTP/1.1", "method"},
		{"GET:/a HTTP/1.1", "method"},
		{"CONNECT a.example:443 HTTP/1.1", "connect"},
		{"CONNECT / HTTP/1.1", "connect"},
		{"connect a.example:443 HTTP/1.1", "connect"},
		{"GET /a HTTP/0.9", "version"},
		{"GET /a HTTP/1.2", "version"},
		{"GET /a HTTP/1", "version"},
		{"GET /a HTTP/1.10", "version"},
		{"GET /a HTTP/01.1", "version"},
		{"GET /a HTTP/2.0", "version"},
		{"GET /a http/1.1", "version"},
		{"GET /a HTTPS/1.1", "version"},
		{"GET /a HTTP/1,1", "version"},
		{"GET /a\xa0HTTP/1.1 HTTP/1.1", "target"},
		{"GET * HTTP/1.1", "target"},
		{"OPTIONS ** HTTP/1.1", "target"},
		{"GET a HTTP/1.1", "target"},
		{"GET a.example:80 HTTP/1.1", "target"},
		{"GET ?a HTTP/1.1", "target"},
		{"GET /a#b HTTP/1.1", "target"},
		{"GET /\xe4 HTTP/1.1", "target"},
		{"GET /a%zz HTTP/1.1", "target"},
		{"GET /a%2 HTTP/1.1", "target"},
		{"GET /a% HTTP/1.1", "target"},
		{"GET ftp://a.example/a HTTP/1.1", "target"},
		{"GET http:/a HTTP/1.1", "target"},
		{"GET http:///a HTTP/1.1", "target"},
		{"GET http://user@a.example/a HTTP/1.1", "target"},
		{"GET http://a.example:x/a HTTP/1.1", "target"},
		{"GET http://a.example/%z HTTP/1.1", "target"},
		{"GET http://a.example\\@b.example/a HTTP/1.1", "target"},
		{"GET /a\x01 HTTP/1.1", "control-byte"},
		{"GET /\x7f HTTP/1.1", "control-byte"},
		{"\x16\x03\x01\x02\x00\x01", "control-byte"}, // TLS
	} {
		cases = append(cases, Case{Name: c.line, Input: head(c.line), Reason: c.reason})
	}
	cases = append(cases, Case{Name: "HTTP/2 preface", Input: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reason: "version"})
	for _, line := range []string{
		"GET / HTTP/1.1", "OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.0", "GET /a?b=%zz&c=100%|{}\"<> HTTP/1.1", "GET //a//b/../c;d:e HTTP/1.1",
		"GET /a? HTTP/1.1", "GET /a%2Fb%00 HTTP/1.1", "get /a HTTP/1.1", "M-SEARCH /a HTTP/1.1",
		"GET /http://b.example/ HTTP/1.1", "PATCH /\\a HTTP/1.0",
	} {
		cases = append(cases, Case{Name: line, Input: head(line), Requests: 1})
	}
	return cases
}
