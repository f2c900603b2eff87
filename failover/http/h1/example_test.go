package h1_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/eastway/eastway/failover/http/h1"
)

func Example() {
	const good = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc"
	const bad = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled"
	r := h1.NewReader(strings.NewReader(good+bad), h1.Limits{})
	passed, err := io.ReadAll(r)
	fmt.Printf("%q, %v\n", strings.TrimPrefix(string(passed), good), err)
	v := r.Violation()
	fmt.Println(v.Reason, v.Status())
	// Output:
	// "REFUSED\r\n\r\n", <nil>
	// length-and-encoding 400
}
