// Package conn is the client's side of one HTTP/1.1 connection. It writes a request and reads its answer in the caller's goroutine, and
// uses another one only for a body, and for a connection that is not in use. It never sends a request twice, has no pool and dials nothing:
// net/http writes the bytes of requests and reads those of answers.
package conn
