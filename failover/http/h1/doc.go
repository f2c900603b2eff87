// Package h1 is a strict reader of HTTP/1.1 requests, for a place between a client's connection and net/http's server. It
// passes bytes on only where every parser that follows finds the same requests in them, so that no request can be smuggled
// in the body or head of another one. What is refused is more than RFC 9112 forbids: also what it allows and servers are known
// to read in different ways.
//
// A [Reader] never writes, and has no clock and no goroutine: the caller bounds how long a head may take.
//
// # How a violation is answered
//
// In place of a bad head, Read yields a line that is no request, and then io.EOF. net/http's server answers 400 and closes the
// connection. In place of a head that is too large, Read yields one that never ends, until the server meets its own limit and
// answers 431; no handler sees either. For this http.Server.MaxHeaderBytes is at most the default of 1 MiB; with
// [Limits].HeadBytes as its value the answer costs least.
// A violation in a body is an error of Read: the handler gets it from the request's body, and the server closes the connection.
// [Reader.Violation] has the reason in each case.
//
// The server closes the connection after a 400 at once, and after a 431 only if the connection has CloseWrite. A kernel turns
// a close with unread bytes into a reset, which may overtake the answer: a connection that wraps a Reader should have
// CloseWrite, and read on for a moment in Close when there is a violation.
//
// # Other protocols
//
// After a request to upgrade (RFC 9110 section 7.8) all bytes are opaque: see [Reader.Opaque] for what the caller does if
// the connection is not switched. h2c is the exception, since servers may ignore it and Eastway does: the connection stays
// HTTP/1.1 and verified. HTTP/2 with prior knowledge is refused; a caller that serves it recognizes the preface before.
package h1
