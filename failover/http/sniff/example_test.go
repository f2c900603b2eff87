package sniff_test

import (
	"fmt"

	"github.com/eastway/eastway/failover/http/sniff"
)

func ExampleOf() {
	fmt.Println(sniff.Of([]byte("GET / HTTP/1.1\r\n")) == sniff.HTTP1)
	fmt.Println(sniff.Of([]byte("\x16\x03\x01")) == sniff.NotHTTP)
	// Output:
	// true
	// true
}
