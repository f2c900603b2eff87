// Package http carries HTTP requests, one by one: HTTP/1.1, HTTP/2 with prior
// knowledge, and connections that are upgraded, such as WebSocket. Every try of a
// request asks package balance for candidates, and package dial for a connection to
// one; what the answer means decides whether the request is sent once more (decide).
//
// No request that may have been executed is sent again unless its method is idempotent.
// net/http's server reads requests; its clients of HTTP/2 write them, and package conn's of
// HTTP/1.1. Which connection, and how often, is decided here alone.
package http
